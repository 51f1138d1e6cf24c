"""Views: questions with a name, which can be asked at any version or time."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid


def add_to(app: typer.Typer) -> None:
    app.command("views")(views)


def views(
    name: Annotated[str | None, typer.Argument(metavar="VIEW", help="Default: list all.")] = None,
    data: Data = None,
    datastack: Datastack = None,
    make: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make it of the definition in a JSON file.")
    ] = None,
    description: Annotated[str, typer.Option(help="What a new view is for.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Remove it.")] = False,
    as_json: Json = False,
) -> None:
    """List views, show one, make one, drop one. `matengine query VIEW` asks it.

    A definition says the table, and the view's columns with their names:

      {"table": "synapses", "columns": [
        {"name": "root", "column": "post_pt_root_id"}, {"name": "inputs", "aggregate": "count"}]}

    Also "joins": [[table, column, table, column]] and "filters": [{"table", "column", "op",
    "value"}]. Aggregates are count, count_distinct, sum, min, max and mean; the other columns are
    what they are by.

    Examples:

      matengine views inputs --make inputs.json --description "synapses onto a neuron" --data box

      matengine query inputs --version 1 --where 'inputs>100' --data box
    """
    from matengine.engine.access import LOCAL
    from matengine.engine.query.views import catalogue, definition, finding, making

    if (make or drop) and name is None:
        raise Invalid("Which view?", "Name it: matengine views VIEW --make FILE.")
    if make and drop:
        raise Invalid("A view is made or dropped, not both.")
    with place(data, datastack) as where:
        conn, stack = where.conn, where.datastack
        if name is None:
            found = catalogue.listed(conn, stack)
            if as_json:
                console.show_json([{"name": v.name, "description": v.description} for v in found])
            else:
                rows = [[v.name, v.definition.table, v.description] for v in found]
                console.show_table(["view", "of", "description"], rows)
        elif make:
            content = definition.read(_content(make))
            making.make(conn, stack, name, content, description=description)
            conn.commit()
            console.say(f"made the view {name}; ask it: matengine query {name}")
        elif drop:
            making.remove(conn, stack, name)
            conn.commit()
            console.say(f"dropped the view {name}")
        else:
            view = finding.find(conn, stack, name, LOCAL)
            console.show_json(view.definition.to_json())


def _content(file: Path) -> object:
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise Invalid(f"{file} is no JSON: {error}.") from None
