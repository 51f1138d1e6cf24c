"""Draws the pictures of the documentation, for light and for dark pages.

python docs/images/draw.py
"""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
Colours = dict[str, str]
# ink, quiet, line, card, three kinds of row, words on them
NAMES = ("ink", "quiet", "line", "card", "a", "b", "c", "on")
LIGHT = "#1f2733 #5f6c7b #c9d1da #eef2f6 #3b6fb6 #c2571a #4d8f5b #ffffff"
DARK = "#e3e9f0 #9aa8b8 #46525f #232c36 #79aae8 #f0975a #7cc48c #10161c"


def text(
    x: float,
    y: float,
    words: str,
    fill: str,
    size: int = 14,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = "600" if bold else "400"
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{fill}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    size = f'width="{width:g}" height="{height:g}"'
    return f'<rect x="{x:g}" y="{y:g}" {size} rx="4" fill="{fill}"{more}/>'


# annotation, what happened to it, its row versions: (from_epoch, to_epoch, colour, root)
ROWS: list[tuple[str, str, list[tuple[int, int | None, str, str]]]] = [
    (
        "synapse 17",
        "a merge: its root changed",
        [(1, 3, "a", "root 501"), (3, None, "b", "root 804")],
    ),
    ("synapse 18", "nothing happened: written once", [(1, None, "c", "root 502")]),
    ("synapse 19", "deleted: closed, and kept", [(1, 4, "c", "root 502")]),
    ("synapse 20", "came later", [(3, None, "b", "root 804")]),
]
VERSIONS = {1: "17, 18, 19", 3: "17, 18, 19, 20", 5: "17, 18, 20"}


def history(c: Colours) -> Iterator[str]:
    """Row versions as bars from epoch to epoch; versions as lines across them."""
    left, step, top, height = 222, 106, 44, 42
    x = [left + step * number for number in range(6)]
    bottom = top + height * len(ROWS)
    for epoch in range(1, 6):
        edge = x[epoch - 1]
        yield f'<path d="M{edge} 14V{bottom}" stroke="{c["line"]}" stroke-dasharray="2 4"/>'
        yield text(edge + step / 2, 26, f"epoch {epoch}", c["quiet"], 12, "middle")
    for number, (name, note, spans) in enumerate(ROWS):
        y = top + height * number
        yield text(16, y + 17, name, c["ink"], bold=True)
        yield text(16, y + 33, note, c["quiet"], 11)
        for first, last, colour, root in spans:
            start, stop = x[first - 1] + 2, x[(last or 6) - 1] - 2
            yield box(start, y + 6, stop - start, 26, c[colour])
            yield text(start + 8, y + 24, root, c["on"], 13)
            if last is None:
                yield f'<path d="M{stop - 3} {y + 6}h3l12 13l-12 13h-3z" fill="{c[colour]}"/>'
    yield text(16, bottom + 48, "what a version shows", c["quiet"], 12)
    for number, (epoch, shown) in enumerate(VERSIONS.items(), 1):
        middle = x[epoch - 1] + step * 0.75
        yield f'<path d="M{middle} 34V{bottom + 10}" stroke="{c["ink"]}" stroke-width="2"/>'
        yield box(middle - 41, bottom + 8, 82, 24, c["ink"])
        yield text(middle, bottom + 25, f"version {number}", c["card"], 13, "middle", True)
        yield text(middle, bottom + 48, shown, c["ink"], 13, "middle")


FLOORS = [
    [("cli", "commands"), ("demo", "the demo")],
    [
        *[("api", "HTTP"), ("web", "status page"), ("workflows", "Celery")],
        *[("box", "a laptop's services"), ("datasets", "folders in")],
    ],
    [("engine", "schemas · annotations · lookup · runs · versions · query")],
    [("segmentation", "volume: point → supervoxel · chunkedgraph: supervoxel → root")],
    [("storage", "PostgreSQL: connections, names, COPY in, Arrow out, migrations")],
    [("errors · times · settings · progress", "")],
]


def house(c: Colours) -> Iterator[str]:
    """The floors of the house, with what each is for."""
    width, height, gap = 760, 52, 12
    for level, parts in enumerate(FLOORS):
        y = 12 + level * (height + gap)
        each = (width - gap * (len(parts) - 1)) / len(parts)
        for number, (name, what) in enumerate(parts):
            x = 20 + number * (each + gap)
            edge = c["a"] if name == "engine" else c["line"]
            yield box(x, y, each, height, c["card"], f' stroke="{edge}"')
            middle = x + each / 2
            yield text(middle, y + (23 if what else 31), name, c["ink"], 14, "middle", True)
            yield text(middle, y + 41, what, c["quiet"], 12, "middle")
    bottom = len(FLOORS) * (height + gap)
    yield (
        f'<path d="M800 20V{bottom - 8}m-5 -8l5 8l5 -8" fill="none" stroke="{c["quiet"]}"'
        ' stroke-width="1.5"/>'
    )
    yield f'<g transform="translate(816 {bottom / 2:g}) rotate(90)">'
    yield text(0, 0, "imports point downwards only", c["quiet"], 12, "middle") + "</g>"


def write(
    name: str, draw: Callable[[Colours], Iterator[str]], width: int, height: int, title: str
) -> None:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="{FONT}" role="img">'
    )
    for theme, colours in (("light", LIGHT), ("dark", DARK)):
        drawn = draw(dict(zip(NAMES, colours.split(), strict=True)))
        lines = [head, f"<title>{escape(title)}</title>", *drawn, "</svg>", ""]
        (HERE / f"{name}-{theme}.svg").write_text("\n".join(lines))


if __name__ == "__main__":
    write("history", history, 780, 276, "Rows with their epochs; a version is the name of an epoch")
    write("house", house, 840, 396, "The parts of the program, each above those that it uses")
