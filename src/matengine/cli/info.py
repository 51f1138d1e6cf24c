"""What viewers and clients are told of a datastack."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

RESOLUTION = "viewer_resolution_nm"
IMAGES = "image_sources"


def add_to(app: typer.Typer) -> None:
    app.command("info")(info)


def info(
    change: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="What is to be told; nothing takes it away."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ADDRESS", help="Images, the usual ones first."),
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    as_json: Json = False,
) -> None:
    """What viewers and clients are told of a datastack: show it, or change it.

    Examples:

      matengine info --data box

      matengine info soma_table=nuclei viewer_resolution_nm=4,4,40 --data box

      matengine info --image em=precomputed://https://HOST/em viewer_site= --data box
    """
    from matengine.engine import info as engine_info

    changed = dict(_pair(text) for text in change or [])
    if IMAGES in changed and changed[IMAGES] is not None:
        raise Invalid("Images have names.", "Write --image NAME=ADDRESS, once for each.")
    if image:
        changed[IMAGES] = dict(_named(text) for text in image)
    with place(data, datastack) as where:
        if changed:
            told = engine_info.change(where.conn, where.datastack, changed)
            where.conn.commit()
        else:
            told = engine_info.get(where.conn, where.datastack)
    if as_json:
        console.show_json({"datastack": where.datastack} | asdict(told))
        return
    console.show_table(["told", "value"], [(key, _shown(v)) for key, v in asdict(told).items()])


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"'{text}' changes nothing.", "Write KEY=VALUE, such as soma_table=nuclei.")
    if not value:
        return key, None
    return key, _numbers(value) if key == RESOLUTION else value


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise Invalid(f"'{text}' is no resolution.", f"Write {RESOLUTION}=4,4,40.") from None


def _named(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals:
        raise Invalid(f"'{text}' has no name.", "Write --image NAME=ADDRESS.")
    return name, address


def _shown(value: Any) -> str | None:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {address}" for name, address in value.items())
    if isinstance(value, list):
        return " × ".join(f"{nm:g}" for nm in value)
    return None if value is None else str(value)
