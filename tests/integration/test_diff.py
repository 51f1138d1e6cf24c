"""What differs between two versions: by cases, by plan, and as it leaves."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from story import CELLS, Story, story

from matengine.engine import datastacks
from matengine.engine.annotations import rows, tables
from matengine.engine.query import diff
from matengine.engine.versions import layout
from matengine.errors import Gone, NotFound
from matengine.storage.connections import Connection


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


def asked(told: Story, *versions: int | None, **more: Any) -> list[dict[str, Any]]:
    """The difference of the synapses between two versions, as rows."""
    found = diff.between(told.conn, told.pair.name, told.pair.table, *versions, **more)
    return diff.read(told.conn, found).to_pylist()


def changes(answer: list[dict[str, Any]]) -> dict[int, str]:
    return {row["id"]: row["change"] for row in answer}


def test_what_the_story_changed(told: Story) -> None:
    answer = asked(told, 1, 2)
    kinds = changes(answer)
    assert {i for i, kind in kinds.items() if kind == "removed"} == {2, 3}
    assert {i for i, kind in kinds.items() if kind == "added"} == {7, 8}
    old, new = (
        {row["id"]: row for row in told.pair.versions[version][1][told.pair.table].to_pylist()}
        for version in (1, 2)
    )
    changed = {i for i, kind in kinds.items() if kind == "changed"}
    assert changed
    assert changed == {i for i in old.keys() & new.keys() if old[i] != new[i]}
    for row in answer:
        for name in ("pre_pt_root_id", "post_pt_supervoxel_id"):
            assert row[f"old_{name}"] == (old[row["id"]][name] if row["id"] in old else None)
            assert row[f"new_{name}"] == (new[row["id"]][name] if row["id"] in new else None)


def test_background_is_0_and_a_missing_row_null(told: Story) -> None:
    """Synapse 5 ends outside; it is added before version 1 and, seen backwards, removed."""
    graph_began = diff.Difference(layout_of(told), 0, 1)
    row = next(r for r in diff.read(told.conn, graph_began).to_pylist() if r["id"] == 5)
    assert row["change"] == "added"
    assert (row["old_post_pt_root_id"], row["new_post_pt_root_id"]) == (None, 0)


def layout_of(told: Story) -> layout.Layout:
    return layout.layout_of(told.conn, told.pair.table, told.pair.name)


def test_backwards_it_is_the_mirror(told: Story) -> None:
    there, back = asked(told, 1, 2), asked(told, 2, 1)
    mirror = {"added": "removed", "removed": "added", "changed": "changed"}
    for row, other in zip(there, back, strict=True):
        assert other["change"] == mirror[row["change"]]
        for name, value in row.items():
            if name.startswith("old_"):
                assert other["new_" + name[4:]] == value


def test_the_newest_epoch_needs_no_version(told: Story) -> None:
    assert changes(asked(told, 2, None)) == {4: "removed"}


def test_a_version_does_not_differ_from_itself(told: Story) -> None:
    assert asked(told, 2, 2) == []
    assert asked(told, 2, 2, roots=[told.pair.supervoxels[0]]) == []


def test_types_are_those_of_ids(told: Story) -> None:
    found = diff.between(told.conn, told.pair.name, told.pair.table, 1, 2)
    with diff.stream(told.conn, found) as reader:
        assert reader.schema.names == ["id", "change"] + [
            f"{side}_{point}_{kind}_id"
            for point in ("pre_pt", "post_pt")
            for kind in ("supervoxel", "root")
            for side in ("old", "new")
        ]
        for field in reader.schema:
            assert field.type == (pa.string() if field.name == "change" else pa.int64())


def test_a_table_without_roots_tells_what_came_and_went(told: Story) -> None:
    found = diff.between(told.conn, told.pair.name, told.pair.notes, 1, 2)
    assert diff.read(told.conn, found).schema.names == ["id", "change"]
    found = diff.between(told.conn, told.pair.name, told.pair.notes, 1, 2, roots=[1])
    assert diff.read(told.conn, found).num_rows == 0


def test_by_root_rows_that_lose_it_and_rows_that_gain_it(told: Story) -> None:
    whole = asked(told, 1, 2)
    row = next(r for r in whole if r["old_pre_pt_root_id"] not in (None, r["new_pre_pt_root_id"]))
    for root in (row["old_pre_pt_root_id"], row["new_pre_pt_root_id"]):
        if root is None:
            continue
        some = asked(told, 1, 2, roots=[root])
        assert row in some
        assert some == [
            r for r in whole if root in [v for n, v in r.items() if n.endswith("root_id")]
        ]
    assert asked(told, 1, 2, roots=[]) == []


def test_a_row_is_told_once_where_its_old_root_and_its_new_one_are_asked_for(told: Story) -> None:
    """Also of a table with one bound point."""
    everything = diff.between(told.conn, told.pair.name, CELLS, 1, 2)
    changed = diff.read(told.conn, everything).to_pylist()
    roots = [row[f"{side}_pt_root_id"] for row in changed for side in ("old", "new")]
    assert roots
    found = diff.between(told.conn, told.pair.name, CELLS, 1, 2, roots)
    assert diff.read(told.conn, found).to_pylist() == changed


def test_related_roots_are_those_before_and_after(told: Story) -> None:
    conn, name = told.conn, told.pair.name
    changed = [r for r in asked(told, 1, 2) if r["change"] == "changed"]
    pairs = {
        (r[f"old_{p}_pt_root_id"], r[f"new_{p}_pt_root_id"])
        for r in changed
        for p in ("pre", "post")
        if r[f"old_{p}_pt_root_id"] != r[f"new_{p}_pt_root_id"]
    }
    assert pairs
    for old, new in pairs:
        assert new in diff.related(conn, name, [old], 1, 2)
        assert old in diff.related(conn, name, [new], 1, 2)
        assert old in diff.related(conn, name, [new], 2, 1)
    with pytest.raises(NotFound):
        diff.related(conn, name, [12345], 1, 2)


def test_a_table_that_came_later_is_all_added(told: Story) -> None:
    conn, pair = told.conn, told.pair
    tables.create_table(
        conn, "late", "cell_type_local", voxel_resolution_nm=(1, 1, 1), description=""
    )
    cell = {"pt": {"position": [1, 2, 2]}, "cell_type": "BC", "classification_system": ""}
    rows.insert(conn, "late", [cell, cell])
    conn.commit()
    pair.epoch()
    newest = max(pair.versions)
    found = diff.between(conn, pair.name, "late", 1, newest)
    assert changes(diff.read(conn, found).to_pylist()) == {1: "added", 2: "added"}
    with pytest.raises(NotFound, match=r"Version 2 of .* has no table 'late'"):
        diff.between(conn, pair.name, "late", 1, 2)


def test_versions_and_tables_that_are_not_there(told: Story) -> None:
    conn, pair = told.conn, told.pair
    with pytest.raises(NotFound):
        diff.between(conn, pair.name, pair.table, 1, 99)
    with pytest.raises(NotFound, match=f"Did you mean '{CELLS}'"):
        diff.between(conn, pair.name, "cell", 1, 2)
    conn.execute("UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1")
    with pytest.raises(Gone):
        diff.between(conn, pair.name, pair.table, 1, 2)
    conn.rollback()


@pytest.mark.parametrize("ends", [(1, 2), (2, 1), (1, 1)])
def test_no_answer_from_an_epoch_that_is_collected_meanwhile(
    told: Story, ends: tuple[int, int]
) -> None:
    conn = told.conn
    found = diff.between(conn, told.pair.name, told.pair.table, *ends)
    conn.execute("UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1")
    conn.execute("UPDATE matengine.epoch SET collected = now() WHERE epoch = 1")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="not kept any more"):
        conn.execute(diff.compose(found))
    conn.rollback()


def test_before_the_first_epoch_there_is_nothing_to_compare(told: Story, conn: Connection) -> None:
    datastacks.create(conn, "empty", datastacks.Segmentation("empty"))
    with pytest.raises(NotFound, match="no epoch yet"):
        diff.between(conn, "empty", told.pair.table, None, None)


# ── cost ────────────────────────────────────────────────────────────────────

MANY = 60_000


@pytest.fixture(scope="module")
def large(told: Story) -> Iterator[Connection]:
    """The history of the synapses with MANY more rows, 1 % of them changed by epoch 2."""
    where = layout_of(told)
    with told.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        columns = ["id", "created", *(c.name for c in where.columns)]
        others = [sql.Identifier("h", c) for c in columns[1:]]
        for first, step, begin, end in (
            (0, 1, 1, layout.OPEN),
            (0, 100, 2, layout.OPEN),
        ):
            conn.execute(
                sql.SQL(
                    "INSERT INTO {h} ({columns}, from_epoch, to_epoch)"
                    " SELECT 1000 + g, {others}, {begin}, {end}"
                    " FROM (SELECT * FROM {h} WHERE id = 1 LIMIT 1) AS h,"
                    " generate_series({first}, {many}, {step}) AS g"
                ).format(
                    h=where.history,
                    columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                    others=sql.SQL(", ").join(others),
                    begin=begin,
                    end=end,
                    first=first,
                    many=MANY - 1,
                    step=step,
                )
            )
        conn.execute(
            sql.SQL(
                "UPDATE {h} SET to_epoch = 2 WHERE id >= 1000 AND id %% 100 = 0 AND from_epoch = 1"
            ).format(h=where.history),
            (),
        )
        # roots as many as a table has, so that its indexes are of use
        conn.execute(
            sql.SQL(
                "UPDATE {h} SET pre_pt_root_id = id / 50 + from_epoch, post_pt_root_id = id / 30"
                " WHERE id >= 1000"
            ).format(h=where.history)
        )
        conn.commit()
        conn.autocommit = True
        conn.execute(sql.SQL("VACUUM ANALYZE {h}").format(h=where.history))
        conn.autocommit = False
        yield conn
        conn.rollback()
        conn.execute(sql.SQL("DELETE FROM {h} WHERE id >= 1000").format(h=where.history))
        conn.commit()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def explained(conn: Connection, found: diff.Difference) -> list[dict[str, Any]]:
    row = conn.execute(
        sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(diff.compose(found))
    ).fetchone()
    conn.rollback()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


def test_a_diff_reads_what_changed_only(told: Story, large: Connection) -> None:
    found = explained(large, diff.Difference(layout_of(told), 1, 2))
    assert "Seq Scan" not in {node["Node Type"] for node in found}
    used = {node.get("Index Name") for node in found}
    assert any(name and name.endswith("from_epoch") for name in used)
    assert found[0]["Actual Rows"] >= MANY / 100
    # row versions read by the BRIN: the changed ones, and those that share their page ranges
    recheck = next(node for node in found if node["Node Type"] == "Bitmap Heap Scan")
    assert recheck.get("Rows Removed by Index Recheck", 0) < MANY / 10


def test_at_that_size_it_is_the_full_outer_join_of_both(told: Story, large: Connection) -> None:
    """Of all that either epoch shows, compared column by column by PostgreSQL."""
    where = layout_of(told)
    columns = [c.name for c in where.columns if not c.sql_type.startswith("geometry")]
    joined = large.execute(
        sql.SQL(
            "SELECT coalesce(o.id, n.id) FROM (SELECT * FROM {h} AS h WHERE {old}) AS o"
            " FULL JOIN (SELECT * FROM {h} AS h WHERE {new}) AS n USING (id)"
            " WHERE o.id IS NULL OR n.id IS NULL OR ROW({of_old}) IS DISTINCT FROM ROW({of_new})"
            " ORDER BY 1"
        ).format(
            h=where.history,
            old=layout.visible("h", 1),
            new=layout.visible("h", 2),
            of_old=sql.SQL(", ").join(sql.Identifier("o", c) for c in columns),
            of_new=sql.SQL(", ").join(sql.Identifier("n", c) for c in columns),
        )
    ).fetchall()
    found = diff.read(large, diff.Difference(where, 1, 2))
    large.rollback()
    assert found["id"].to_pylist() == [i for (i,) in joined]
    assert found.num_rows > MANY / 100


def test_a_diff_by_root_reads_rows_of_the_root_only(told: Story, large: Connection) -> None:
    where = layout_of(told)
    found = explained(large, diff.Difference(where, 1, 2, (1000 // 50 + 1, 1000 // 50 + 2)))
    assert "Seq Scan" not in {node["Node Type"] for node in found}
    assert {n["Index Name"] for n in found if "Index Name" in n} >= {
        f"{where.name}__{column}" for column in ("pre_pt_root_id", "post_pt_root_id", "id")
    }
    assert sum(node.get("Shared Hit Blocks", 0) for node in found[:1]) < 500
