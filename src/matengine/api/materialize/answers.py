"""Queries answered over HTTP: planned, looked at ahead, then streamed batch by batch.

What can be said before the rows are there goes into headers. The end of an Arrow stream says how
it ended, whatever its length.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from time import monotonic
from typing import Any

import structlog
from flask import Response, request

from matengine.api.auth import current_user
from matengine.api.materialize import arrow_out, headers, json_out, limits
from matengine.api.materialize.bodies import Arguments
from matengine.api.materialize.page import Page
from matengine.api.materialize.paths import open_for_viewing
from matengine.engine.access import User
from matengine.engine.query import answer, moments
from matengine.engine.query.answer import Plan
from matengine.engine.query.model import At, Query, Roots
from matengine.engine.query.outdated import outdated
from matengine.errors import Invalid, MatengineError, Unavailable

log = structlog.get_logger(__name__)

SOFTWARE = version("matengine")
# no more than this at a time, so that the time in which a reader must take it means something
PIECE_BYTES = 256 * 1024
# root ids of a filter that are looked into where nothing was found
MOST_ROOTS = 20


@dataclass(frozen=True)
class Asked:
    """A query as it came: at which moment, whose, and how the answer shall come."""

    datastack: str
    at: At
    query: Query
    arguments: Arguments
    user: User


def respond(datastack: str, at: At, query: Query, arguments: Arguments) -> Response:
    """The answer to a query at a moment.

    Raises what `answer.plan` raises; nothing has been sent then.
    """
    user = current_user()
    with ExitStack() as held, _in_time():
        with open_for_viewing(datastack, user) as (conn, _):
            at = moments.pinned(conn, datastack, at)
            asked = Asked(datastack, at, _capped(query), arguments, user)
            plan = answer.plan(conn, datastack, at, asked.query, user)
            tag = _tag(asked, plan)
            if tag and request.if_none_match.contains_weak(tag):
                return _tagged(Response(status=304), tag)
            reader = held.enter_context(answer.stream(conn, plan, limits.ANSWER_S))
        page = Page(reader, asked.query.limit)
        page.look_ahead()
        end = _end(asked, plan, page) if page.ended else {}
        response = _body(asked, plan, page, end)
        if not page.ended:
            response.call_on_close(held.pop_all().close)
    headers.describe(response, plan, asked.query, end)
    for text in [*_notices(plan), *_warnings(asked, plan, page, end)]:
        headers.warn(response, text)
    return _tagged(response, tag)


@contextmanager
def _in_time() -> Iterator[None]:
    """Clients repeat at once what is Unavailable; what takes too long must not come again."""
    start = monotonic()
    try:
        yield
    except Unavailable as error:
        if monotonic() - start < limits.ANSWER_S:
            raise
        raise Invalid(error.message, error.hint) from error


def _capped(query: Query) -> Query:
    most = limits.most_rows()
    if query.count or most is None or (query.limit is not None and query.limit <= most):
        return query
    return replace(query, limit=most)


def _body(asked: Asked, plan: Plan, page: Page, end: dict[str, Any]) -> Response:
    """The rows, not read yet beyond those looked at ahead."""
    limits.bound_sending()
    packed = False
    if asked.arguments.return_pyarrow:
        kind = arrow_out.CONTENT_TYPE
        codec = arrow_out.codec_of(request.headers) if asked.arguments.ipc_compress else None
        told = {"names": plan.names, "total": plan.total} | _known(plan) | end
        pieces = arrow_out.write(
            page, plan.schema, codec=codec, told=told, end=lambda: end or _end(asked, plan, page)
        )
    else:
        kind = json_out.CONTENT_TYPE
        packed = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        pieces = json_out.gzipped(json_out.write(page)) if packed else json_out.write(page)
    whole = b"".join(pieces) if page.ended else None  # what is here already needs no chunks
    response = Response(_cut(pieces if whole is None else iter([whole])), content_type=kind)
    if whole is not None:
        response.content_length = len(whole)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    return response


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same in pieces of a bounded size, as long as it may take in all.

    What fails in their midst cuts the connection.
    """
    deadline = monotonic() + limits.ANSWER_S
    try:
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                if monotonic() > deadline:
                    raise Unavailable("The answer was read too slowly.")
                yield piece[start : start + PIECE_BYTES]
    except MatengineError as error:
        log.warning("an answer broke off", error=str(error))
        raise


def _end(asked: Asked, plan: Plan, page: Page) -> dict[str, Any]:
    """How an answer that has been read ends: its rows, whether more follow, and from where."""
    end: dict[str, Any] = {"rows": page.found, "truncated": False, "cursor": None}
    if asked.query.count or not page.full:
        return end
    cursor = asked.query.after
    if plan.shape and plan.shape.keys and page.last is not None:
        cursor = answer.cursor_of(plan, page.last)
    if _more(asked, plan, page, cursor):
        end |= {"truncated": True, "cursor": cursor}
    return end


def _known(plan: Plan) -> dict[str, Any]:
    """What is known of an answer beforehand, and seldom is anything."""
    found: dict[str, Any] = {}
    if plan.translated:
        instead = {str(root): list(ids) for root, ids in plan.translated.items()}
        found["translated_root_ids"] = instead
    if plan.told:
        found["warnings"] = plan.told
    return found


def _more(asked: Asked, plan: Plan, page: Page, cursor: str | None) -> bool:
    """Whether there is a row behind a page; `cursor` is the one behind it, where it has one."""
    moved = cursor != asked.query.after
    offset = 0 if moved else asked.query.offset + page.found
    further = replace(plan.asked, after=cursor, limit=1, offset=offset)
    with open_for_viewing(asked.datastack, asked.user) as (conn, _):
        rest = answer.plan(conn, asked.datastack, asked.at, further, asked.user)
        return bool(answer.read(conn, rest).num_rows)


def _notices(plan: Plan) -> Iterator[str]:
    """What owners say to those who read their tables, and what these lack."""
    for name, table in plan.found.metadata.items():
        if table.notice_text:
            yield f"Notice on '{name}': {table.notice_text}"
    yield from plan.told


def _warnings(asked: Asked, plan: Plan, page: Page, end: dict[str, Any]) -> Iterator[str]:
    """What whoever reads an answer must know of it."""
    limit, cap = asked.query.limit, limits.most_rows()
    if end.get("truncated"):
        whose = "This server gives" if limit == cap else "The limit is"
        yield f"There are more rows. {whose} {limit}."
    elif not end and limit is not None:
        yield f"There may be more than the {limit} rows; the end of the stream says so."
    if end and not page.found and limit != 0 and not asked.query.count:
        yield from _why_empty(asked, plan)


def _why_empty(asked: Asked, plan: Plan) -> Iterator[str]:
    """The usual reason: the root ids are those of another time."""
    roots = plan.roots[:MOST_ROOTS]
    if not roots or asked.query.roots is not Roots.LEFT:
        return
    with (
        suppress(MatengineError),  # a chunkedgraph's server may be away
        open_for_viewing(asked.datastack, asked.user) as (conn, _),
    ):
        yield from map(str, outdated(conn, asked.datastack, plan.found.moment.time, roots))


def _tag(asked: Asked, plan: Plan) -> str | None:
    """What tells this answer from all others, where nothing can ever change it."""
    if plan.epoch is None:
        return None
    shown = plan.found.moment.tables
    prints = [(name, shown[name].fingerprint) for name in plan.tables if name in shown]
    arguments = asked.arguments.model_dump()
    packing = request.headers.get("Accept-Encoding", "").lower()
    known = (
        SOFTWARE,
        plan.text,
        str(plan.schema),
        plan.resolution_nm,
        prints,
        arguments,
        packing,
    )
    return hashlib.blake2b(repr(known).encode(), digest_size=16).hexdigest()


def _tagged(response: Response, tag: str | None) -> Response:
    """Whoever keeps an answer asks whether it still stands, and whether they may still see it."""
    response.headers["Cache-Control"] = "private, no-cache"
    if tag:
        response.set_etag(tag)
    return response
