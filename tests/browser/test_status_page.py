"""The status page in a real browser, from a real server, with real versions."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from looking import DATASTACK, VOLUME, Look, Site
from playwright.sync_api import Page

from matengine.engine.pacing import keeping
from matengine.engine.runs import engine, runs, units
from matengine.engine.versions import catalogue, epoch, labels
from matengine.engine.versions.catalogue import Version, VersionTable
from matengine.storage import connections

FAULT = "The volume <store> did not answer."


@dataclass(frozen=True)
class Known:
    """What the catalogue says of a version."""

    version: Version
    tables: list[VersionTable]


def versions() -> list[Known]:
    """All versions, newest first."""
    with connections.open_connection(connections.database_url(VOLUME)) as conn:
        found = catalogue.versions(conn, DATASTACK)[::-1]
        return [Known(v, catalogue.tables_at(conn, DATASTACK, v.epoch)) for v in found]


def cells(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's body."""
    rows = page.locator(f"table.{table} tbody tr").all()
    return [[text.strip() for text in row.locator("th, td").all_inner_texts()] for row in rows]


def check_kept_to_itself(look: Look, site: Site) -> None:
    """The page asked only its own server, and the browser has nothing to complain of."""
    assert {urlsplit(url).netloc for url in look.requests} == {urlsplit(site.url).netloc}
    assert look.complaints == []


def test_an_empty_server_says_what_to_do(look: Look, empty_site: Site) -> None:
    page = look.at(empty_site)
    assert page.locator("section").count() == 1
    assert "No datastack yet" in page.inner_text("#empty h2")
    listed = page.locator("#empty code").all_inner_texts()
    # a folder with a blank in its name is quoted, so that the line can be pasted
    assert listed[1] == f"./mat import small --data '{empty_site.settings.data}'"
    check_kept_to_itself(look, empty_site)


def test_versions_with_their_cost(look: Look, site: Site) -> None:
    page = look.at(site)
    known = versions()
    assert len(known) == 2
    shown = cells(page, "versions")
    for row, made in zip(shown, known, strict=True):
        counts = [
            sum(t.row_count for t in made.tables),
            sum(t.rows_added for t in made.tables),
            sum(t.rows_closed for t in made.tables),
        ]
        assert row[0] == str(made.version.version)
        assert row[2] == "available"
        assert row[3:6] == [f"{count:,}" for count in counts]
        assert row[-1].endswith(made.version.note)  # markup in it is text
    assert shown[1][1] == "2026-01-31 00:00:00.000"
    assert shown[1][-2] == "100.0 %"
    bars = page.locator("table.versions svg.bar")
    assert bars.count() == 2
    full = bars.nth(1).locator("rect.all").bounding_box()
    part = bars.nth(1).locator("rect.part").bounding_box()
    assert full == part  # the first version wrote all of its rows


def test_names_and_pins(look: Look, site: Site) -> None:
    with connections.open_connection(connections.database_url(VOLUME)) as conn:
        labels.name(conn, DATASTACK, 1, "v1 & only")
        labels.pin(conn, DATASTACK, 1)
    first = cells(look.at(site), "versions")[1]
    assert first[-1] == "v1 & only pinned half proofread"


def test_tables_of_the_newest_version(look: Look, site: Site) -> None:
    page = look.at(site)
    newest = versions()[0]
    assert f"Version {newest.version.version} at" in page.inner_text(f"#datastack-{DATASTACK}")
    assert cells(page, "contents") == [
        [
            t.table_name,
            t.schema_type,
            f"{t.row_count:,}",
            f"{t.rows_added:,}",
            f"{t.rows_closed:,}",
            f"{t.gaps:,}",
            str(t.fingerprint),  # 64 bits, exact
        ]
        for t in newest.tables
    ]
    check_kept_to_itself(look, site)


def test_commands_name_the_box(look: Look, site: Site) -> None:
    page = look.at(site)
    listed = page.locator(".commands code").all_inner_texts()
    box = f"--datastack {DATASTACK} --data '{site.settings.data}'"
    assert f"./mat query synapses {box}" in listed
    assert f"./mat materialize {box}" in listed


def test_how_close_it_is_kept(look: Look, site: Site) -> None:
    with connections.open_connection(connections.database_url(VOLUME)) as conn:
        told = keeping.standing(conn, DATASTACK)
    words = look.at(site).locator(".close").inner_text()
    assert words.startswith("Last brought up to date ")
    assert (f"about {told.pending:,} rows differ by now" in words) == (told.pending > 0)


@pytest.fixture
def run_under_way(site: Site) -> Iterator[int]:
    """A run that has begun, one of whose units has stumbled; cancelled in the end."""
    with connections.open_connection(connections.database_url(VOLUME)) as conn:
        run_id = epoch.start(conn, DATASTACK, "complete", publish_version=True)
        unit_of_its_own = (
            "INSERT INTO matengine.unit (run_id, kind, table_name) VALUES (%s, %s, %s)"
        )
        conn.execute(unit_of_its_own, (run_id, "collect", "synapses"))
        conn.commit()
        unit_id = units.claimable(conn, run_id)
        assert unit_id is not None
        unit = units.claim(conn, unit_id)
        assert unit is not None
        units.stumble(conn, unit, FAULT, lasting=False)
        yield run_id
        engine.cancel(conn, run_id)


def test_a_run_under_way(look: Look, site: Site, run_under_way: int) -> None:
    page = look.at(site)
    run = page.locator(f"#run-{run_under_way}")
    assert "0 of 1 units" in run.inner_text()
    assert FAULT in run.inner_text()
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    assert cells(page, "versions")[0][2] == "running"
    check_kept_to_itself(look, site)


def test_a_run_that_ended(look: Look, site: Site, run_under_way: int) -> None:
    with connections.open_connection(connections.database_url(VOLUME)) as conn:
        engine.cancel(conn, run_under_way, "not wanted")
        assert runs.get(conn, run_under_way).status == "cancelled"
    page = look.at(site)
    assert page.locator(".run").count() == 0
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    page.locator("summary").click()
    newest = cells(page, "runs")[0]
    assert newest[:3] == [str(run_under_way), "complete", "cancelled"]
    assert newest[-1] == "not wanted"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(look: Look, site: Site, scheme: str) -> None:
    look.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page = look.at(site)
    colours = page.evaluate(
        """() => [getComputedStyle(document.body).color,
                  getComputedStyle(document.querySelector("section")).backgroundColor]"""
    )
    ink, paper = (sum(int(part) for part in c.strip("rgb()").split(",")) / 3 for c in colours)
    assert (ink > 200 and paper < 60) if scheme == "dark" else (ink < 60 and paper > 200)


@pytest.mark.parametrize("width", [1100, 390])
def test_nothing_is_cut_off(look: Look, site: Site, width: int) -> None:
    look.page.set_viewport_size({"width": width, "height": 800})
    page = look.at(site)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_server_without_its_database_says_so(look: Look, broken_site: Site) -> None:
    page = look.at(broken_site)
    assert "PostgreSQL cannot be reached" in page.inner_text("#fault")
    assert "503" in page.inner_text("#fault")
