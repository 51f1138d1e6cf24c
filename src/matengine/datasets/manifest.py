"""`datastack.toml`: what a dataset folder holds."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from matengine.datasets.faults import Faults
from matengine.errors import Invalid, did_you_mean
from matengine.storage.names import check_name
from matengine.times import floor_ms

FILE = "datastack.toml"


def _name(text: str) -> str:
    try:
        return check_name(text, "a part of a datastack")
    except Invalid as error:
        raise ValueError(str(error)) from None


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"'{path}' must be a path inside the folder")
    return path


def _utc(time: datetime) -> datetime:
    return floor_ms(time.replace(tzinfo=UTC) if time.tzinfo is None else time)


Name = Annotated[str, AfterValidator(_name)]
Inside = Annotated[str, AfterValidator(_inside)]
Time = Annotated[datetime, AfterValidator(_utc)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Resolution = tuple[Length, Length, Length]
Count = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(_Part):
    """The datastack or the aligned volume."""

    name: Name
    description: str = ""


class SegmentationPart(_Part):
    """The chunkedgraph and, unless the folder is graph only, its volume."""

    name: Name
    start_time: Time
    edges: Inside
    edits: Inside | None = None
    volume: Inside | None = None
    resolution_nm: Resolution | None = None
    chunk_size: tuple[Count, Count, Count] | None = None


class TablePart(_Part):
    """One annotation table; its resolution is that of the positions, nm a voxel."""

    name: Name
    schema_name: str = Field(alias="schema")
    file: Inside
    voxel_resolution_nm: Resolution | None = None
    description: str = ""
    reference_table: Name | None = None


class Manifest(_Part):
    """The whole file."""

    datastack: Named
    aligned_volume: Named
    segmentation: SegmentationPart
    table: list[TablePart] = []


def read_manifest(folder: Path, faults: Faults) -> Manifest | None:
    """The folder's `datastack.toml`; None, with faults noted, where it cannot be read."""
    try:
        content = tomllib.loads((folder / FILE).read_bytes().decode())
    except FileNotFoundError:
        faults.add(FILE, "the file is missing")
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.add(FILE, f"is not TOML: {error}")
        return None
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            faults.add(FILE, _told(fault))
        return None
    _check_parts(manifest, faults)
    return manifest


def _told(fault: Any) -> str:
    """One pydantic fault as a sentence that names the key."""
    path = [f"[{p + 1}]" if isinstance(p, int) else str(p) for p in fault["loc"]]
    where = ".".join(path).replace(".[", "[")
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{where} is no known key. {did_you_mean(path[-1], _keys(path[0])) or ''}".rstrip()
    text = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: {text[:1].lower()}{text[1:]}"


def _keys(part: str) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "datastack": Named,
        "aligned_volume": Named,
        "segmentation": SegmentationPart,
        "table": TablePart,
    }
    fields = models.get(part, Manifest).model_fields
    return [field.alias or name for name, field in fields.items()]


def _check_parts(manifest: Manifest, faults: Faults) -> None:
    """What no single key can tell: volume keys come together, names and references fit."""
    segmentation = manifest.segmentation
    volume_keys = {
        "volume": segmentation.volume,
        "resolution_nm": segmentation.resolution_nm,
        "chunk_size": segmentation.chunk_size,
    }
    absent = [key for key, value in volume_keys.items() if value is None]
    if 0 < len(absent) < 3:
        faults.add(FILE, f"segmentation.{absent[0]} is missing beside the other volume keys")
    seen: list[str] = []
    later = [table.name for table in manifest.table]
    for table in manifest.table:
        if table.name in seen:
            faults.add(FILE, f"two tables are named '{table.name}'")
        reference = table.reference_table
        if reference is not None and reference not in seen:
            hint = (
                f"table '{reference}' must come before it"
                if reference in later
                else did_you_mean(reference, later) or "there is no such table"
            )
            faults.add(FILE, f"table '{table.name}' refers to '{reference}': {hint}")
        seen.append(table.name)
