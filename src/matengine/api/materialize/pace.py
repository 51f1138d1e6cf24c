"""How closely a datastack is kept up to date without anybody asking."""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from matengine.api.auth import current_user
from matengine.api.description import takes
from matengine.api.materialize.paths import DATASTACK, PREFIX, DatastackPath, open_for_viewing
from matengine.api.materialize.runs import TAG
from matengine.api.wire import json_body, reply
from matengine.engine import access
from matengine.engine.pacing import choice, keeping
from matengine.errors import Invalid
from matengine.storage.connections import Connection

PACE = f"{DATASTACK}/pace"

api = APIBlueprint("materialize_pace", __name__, url_prefix=PREFIX, abp_tags=[TAG])


def _or_null(*kinds: str, words: str) -> dict[str, Any]:
    return {"anyOf": [{"type": kind} for kind in (*kinds, "null")], "description": words}


_LENGTH = _or_null("string", words="Such as 90s, 5m, 12h, 7d")
_CHANGES = takes(
    {
        "type": "object",
        "description": "What is to change; null leaves a key to the deployment again",
        "properties": {
            "active": _or_null("boolean", words="Whether such epochs are made"),
            "least": _LENGTH,
            "most": _LENGTH,
            "target": _or_null("number", "string", words="0.005, or 0.5%"),
            "keep": _LENGTH,
        },
    }
)


@api.get(PACE, summary="How close a datastack is to the present")
def get_pace(path: DatastackPath) -> Response:
    """Its pace, the newest epoch, the rows that differ from it, and when the next one is due."""
    with open_for_viewing(path.datastack) as (conn, _):
        return reply(_told(conn, path.datastack))


@api.patch(PACE, summary="Settle how close a datastack is kept", openapi_extensions=_CHANGES)
def change_pace(path: DatastackPath) -> Response:
    """least, most: between two epochs that nobody asks for. target: rows that may differ, as a
    part of all. keep: how long such an epoch is kept."""
    user = current_user()
    with open_for_viewing(path.datastack, user) as (conn, _):
        access.check_admin(user)
        wanted = json_body()
        if not isinstance(wanted, dict):
            raise Invalid("The body is no JSON object.", 'Send {"least": "5m"}.')
        choice.change(conn, path.datastack, choice.read(wanted))
        conn.commit()
        return reply(_told(conn, path.datastack))


def _told(conn: Connection, datastack: str) -> dict[str, Any]:
    return keeping.told(datastack, keeping.standing(conn, datastack))
