"""Faults of a dataset folder, collected so that they are told together."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matengine.errors import Invalid

# More than these help nobody: the first ones usually explain the rest
TOLD = 20


@dataclass
class Faults:
    """What is wrong with the folder `name`, each fault with the file it is in."""

    name: str
    found: list[str] = field(default_factory=list)

    def add(self, file: str, what: str) -> None:
        """Note one fault in `file`."""
        self.found.append(f"{file}: {what}")

    def add_rows(self, file: str, column: str, bad: NDArray[np.bool_], what: str) -> None:
        """Note the rows where `bad` holds (n, bool): the first one and how many there are."""
        rows = np.flatnonzero(bad)
        if len(rows):
            more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
            self.add(file, f"column {column}, row {rows[0] + 1}{more}: {what}")

    def raise_any(self) -> None:
        """Raise Invalid with all faults, one a line; nothing where there are none."""
        if not self.found:
            return
        count = len(self.found)
        head = f"The dataset folder {self.name} has {count} fault{'s' if count > 1 else ''}:"
        lines = [head, *(f"- {fault}" for fault in self.found[:TOLD])]
        if count > TOLD:
            lines.append(f"- and {count - TOLD} more")
        raise Invalid("\n".join(lines))
