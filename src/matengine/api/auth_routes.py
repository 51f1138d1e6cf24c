"""The auth service of a server without logins: one user, one token that opens nothing."""

import re
from html import escape
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.description import gives
from matengine.api.places import datastack_names
from matengine.api.wire import reply
from matengine.engine.access import LOCAL
from matengine.errors import NotFound
from matengine.storage import connections

_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
# for programs that want one: any token is as good, and so is none
DUMMY_TOKEN = "0123456789abcdef" * 2

_NAMESPACES = {
    "datastack": lambda: list(datastack_names()),
    "aligned_volume": connections.aligned_volumes,
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tokens</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto }}</style>
<h1>Tokens</h1>
<p>This server has no logins, so it needs no token. Programs that insist on one may use this:</p>
<p><code>{token}</code></p>
<p>In Python: <code>CAVEclient("DATASTACK", server_address="{server}",
auth_token="{token}")</code></p>
</html>
"""

api = APIBlueprint(
    "auth", __name__, abp_tags=[Tag(name="auth", description="The user of a server without logins")]
)
ROOT = "/auth/api/v1"


class OfUser(BaseModel):
    """The id of a user."""

    user: int


class OfGroup(BaseModel):
    """The id of a group."""

    group: int


class OfTable(BaseModel):
    """What a service calls by this name."""

    namespace: str
    table: str


class Users(BaseModel):
    """Ids of users, separated by commas."""

    id: str | None = None


@api.get(
    "/sticky_auth/settings/tokens",
    summary="A token for programs that insist on one",
    responses=gives("text/html"),
)
def token_page() -> Response:
    page = _PAGE.format(token=DUMMY_TOKEN, server=escape(request.host_url.rstrip("/")))
    return Response(page, content_type="text/html; charset=utf-8")


@api.get(f"{ROOT}/user/token", summary="The user's tokens")
def tokens() -> Response:
    told = {"id": 1, "user_id": LOCAL.user_id, "token": DUMMY_TOKEN}
    return reply([told | dict.fromkeys(("description", "created", "updated", "last_used"))])


@api.get(f"{ROOT}/create_token", summary="A token")
@api.post(f"{ROOT}/create_token", summary="A token")
@api.post(f"{ROOT}/refresh_token", summary="A token")
def new_token() -> Response:
    return reply(DUMMY_TOKEN)


@api.get(f"{ROOT}/user/cache", summary="Who is asking")
def who() -> Response:
    return reply(_user())


@api.get(f"{ROOT}/user", summary="Users by id")
def users(query: Users) -> Response:
    wanted = _listed(query.id)
    told = {key: _user()[key] for key in ("id", "service_account", "name", "pi", "affiliations")}
    return reply([told | {"created": None}] if wanted is None or LOCAL.user_id in wanted else [])


@api.get(f"{ROOT}/username", summary="Names of users by id")
def user_names(query: Users) -> Response:
    wanted = _listed(query.id)
    there = wanted is None or LOCAL.user_id in wanted
    return reply([{"id": LOCAL.user_id, "name": LOCAL.name}] if there else [])


@api.get(f"{ROOT}/user/<int:user>/permissions", summary="What a user may do")
def permissions(path: OfUser) -> Response:
    if path.user != LOCAL.user_id:
        raise NotFound(f"There is no user {path.user}.")
    return reply(_user())


@api.get(f"{ROOT}/group/<int:group>/user", summary="The users of a group; there are no groups")
def group_users(path: OfGroup) -> Response:
    return reply([])


@api.get(
    f"{ROOT}/service/<string:namespace>/table/<string:table>/dataset",
    summary="The name under which permissions are given",
)
def dataset(path: OfTable) -> Response:
    known = _NAMESPACES.get(path.namespace)
    if known is None or path.table not in known():
        raise NotFound(f"There is no {path.namespace} '{path.table}'.")
    return reply(path.table)


def _listed(ids: str | None) -> set[int] | None:
    """Ids of a query parameter; None where it is left out."""
    return None if ids is None else {int(i) for i in ids.split(",") if _DIGITS.fullmatch(i.strip())}


def _user() -> dict[str, Any]:
    return {
        "id": LOCAL.user_id,
        "parent_id": None,
        "service_account": False,
        "name": LOCAL.name,
        "email": None,
        "admin": True,
        "pi": None,
        "affiliations": [],
        "groups": [],
        "permissions": {},
        "permissions_v2": {},
        "permissions_v2_ignore_tos": {},
        "missing_tos": [],
        "datasets_admin": [],
    }
