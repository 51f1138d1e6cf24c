"""The matrix of client calls: what client processes do to a chunkedgraph, and at any time."""

from datetime import datetime, timedelta

from matrix_world import END, LATER, PLACE, V1


def graph_code(every: list[int], old: int, new: int, gone: list[int], supervoxel: int) -> str:
    """Every question about supervoxels and roots: `old` and `gone` of V1, `new` of END."""
    return f"""
EVERY, V1, END = {every}, {V1!r}, {END!r}
OLD, NEW, GONE = {old}, {new}, {gone}
SV = {supervoxel}
started = c.get_oldest_timestamp()
found["started"] = started.isoformat()
found["names"] = c.table_name, c.cloudvolume_path, c.base_resolution, sorted(c.segmentation_info)
found["urls"] = sorted(c.default_url_mapping), c.timestamp
found["roots"] = c.get_roots(supervoxel_ids=EVERY, timestamp=V1), c.get_roots(EVERY)
found["root"] = c.get_root_id(supervoxel_id=SV, timestamp=END), c.get_root_id(SV)
low = c.get_root_id(supervoxel_id=SV, level2=True)
found["level 2"] = c.get_roots(supervoxel_ids=[SV], stop_layer=2).tolist() == [low]
found["leaves"] = c.get_leaves(root_id=OLD), c.get_leaves(NEW)
found["many"] = {{str(k): v for k, v in c.get_leaves_many(root_ids=[OLD, NEW]).items()}}
whole = np.array([[0, 32], [0, 32], [0, 32]])
found["bounded"] = c.get_leaves(root_id=NEW, bounds=whole, stop_layer=1)
found["parts"] = c.get_leaves(NEW, stop_layer=2).tolist() == sorted(c.get_children(node_id=NEW))
found["low"] = c.get_leaves_many(root_ids=[NEW], bounds=whole, stop_layer=2)[NEW].tolist()
found["covering"] = c.get_minimal_covering_nodes(node_ids=c.get_leaves(NEW))
found["graph"] = len(c.level2_chunk_graph(root_id=NEW, bounds=None))
found["edges"] = [len(part) for part in c.get_subgraph(root_id=NEW, bounds=whole)]
found["latest"] = c.is_latest_roots(root_ids=[OLD, NEW]), c.is_latest_roots([OLD], timestamp=V1)
found["valid"] = c.is_valid_nodes(node_ids=[OLD, NEW, 77], start_timestamp=started,
                                  end_timestamp=END)
born = c.get_root_timestamps(root_ids=[OLD, NEW], latest=False, timestamp=END)
found["born"] = [t.isoformat() for t in born]
found["last"] = [t.isoformat() for t in c.get_root_timestamps(GONE, latest=True)]
found["delta"] = c.get_delta_roots(timestamp_past=V1, timestamp_future=END)
past = c.get_past_ids(root_ids=[NEW], timestamp_past=V1, timestamp_future=END)
found["past"] = past["past_id_map"][NEW]
lineage = c.get_lineage_graph(root_id=OLD, timestamp_past=V1, timestamp_future=END,
                              as_nx_graph=True)
found["lineage"] = sorted(n for n in lineage if not lineage.out_degree(n))
cut = c.get_lineage_graph(root_id=[NEW], timestamp_past=started, as_nx_graph=False,
                          exclude_links_to_future=True, exclude_links_to_past=False)
found["ancestors"] = sorted(node["id"] for node in cut["nodes"])
found["of old"] = c.get_latest_roots(root_id=OLD, timestamp=END), c.get_latest_roots(OLD)
found["by future"] = c.get_latest_roots(root_id=OLD, timestamp_future=END)
found["originals"] = c.get_original_roots(root_id=NEW, timestamp_past=V1)
best, share = c.suggest_latest_roots(root_id=OLD, timestamp=END, stop_layer=1, return_all=True,
                                     return_fraction_overlap=True)
found["suggested"] = best.tolist(), share.tolist(), int(c.suggest_latest_roots(OLD))
found["log"] = c.get_change_log(root_id=NEW, filtered=False)["operations_ids"]
table = c.get_tabular_change_log(root_ids=[NEW], filtered=False)[NEW]
found["table"] = table["operation_id"].tolist()
found["merges"] = c.get_merge_log(root_id=NEW)["merge_edges"]
every = c.get_user_operations(user_id=0, timestamp_start=started, include_undo=True,
                              timestamp_end=END)
found["operations"] = every["operation_id"].tolist()
found["details"] = c.get_operation_details(operation_ids=[1, 2])
ends = {{"src_pt": np.array([500.0, 500, 500]), "dst_pt": np.array([900.0, 900, 900])}}
found["path"] = len(c.find_path(root_id=NEW, precision_mode=False, **ends)[1])
found["refused"] = [status(call) for call in (
    lambda: c.get_leaves(77), lambda: c.get_root_id(77),
    lambda: c.get_contact_sites(root_id=NEW, bounds=whole, calc_partners=False),
    lambda: c.remesh_level2_chunks(chunk_ids=[low]),
)]
"""


def edit_code(ends: list[int], row_id: int) -> str:
    """Merge two supervoxels' objects, split them again, undo that; rows are asked in between."""
    return f"""
A, B = {ends}
ROW = {row_id}

def now():
    return datetime.datetime.now(datetime.timezone.utc)

def live(at):
    rows = m.live_live_query("synapses", at, split_positions=True).set_index("id")
    return rows["pre_pt_root_id"].to_dict(), rows["post_pt_root_id"].to_dict(), at.isoformat()

found["moments"] = [live(now())]
done = c.do_merge(supervoxels=[A, B], coords=[[1, 1, 1], [2, 2, 2]], resolution=(32, 32, 40))
(merged,) = done["new_root_ids"]
found["merged"] = c.get_roots([A, B]).tolist() == [merged, merged]
found["moments"].append(live(now()))
found["with"] = m.live_live_query("synapses", now(),
    filter_equal_dict={{"synapses": {{"pre_pt_root_id": merged}}}})["id"].tolist()
points = dict(source_points=[[0, 0, 0]], sink_points=[[1, 1, 1]], root_id=merged,
              source_supervoxels=[A], sink_supervoxels=[B])
sides = c.preview_split(return_additional_ccs=False, **points)
found["sides"] = A in sides[0], B in sides[1], bool(sides[2])
number, parts = c.execute_split(**points)
found["parted"] = len(set(c.get_roots([A, B]).tolist())), set(c.get_roots([A, B])) <= set(parts)
found["moments"].append(live(now()))
undone = c.undo_operation(operation_id=number)
found["undone"] = len(set(c.get_roots([A, B]).tolist()))
found["moments"].append(live(now()))
(new,) = client.annotation.post_annotation("marks", {{"pt": {{"position": {PLACE}}}, "tag": "new"}})
marks = [m.live_live_query(t, now()) for t in ("probes", "marks")]
found["marks"] = [t["pt_supervoxel_id"].tolist() for t in marks]
found["again"] = [live(datetime.datetime.fromisoformat(at)) for _, _, at in found["moments"]]
found["version"] = m.query_table("synapses", materialization_version=2)["pre_pt_root_id"].tolist()
found["refused"] = [status(call) for call in (
    lambda: c.do_merge([A, B], [[1, 1, 1], [2, 2, 2]]),
    lambda: c.do_merge([A, 77], [[1, 1, 1], [2, 2, 2]]),
    lambda: c.undo_operation(10_000),
)]
"""


def any_time_code(start: datetime, gone: int, supervoxel: int) -> str:
    """Edges of live queries: `start` is when the graph began, `gone` a root of V1, not of LATER."""
    return f"""
V1, LATER = {V1!r}, {LATER!r}
now = m.live_live_query("synapses", datetime.datetime.now(datetime.timezone.utc))
found["now"] = now["id"].tolist(), now["pre_pt_root_id"].tolist(), len(now["pre_pt_position"][0])
first = m.live_live_query("synapses", {start!r}, split_positions=True)
then = m.live_live_query("synapses", LATER, split_positions=True)
found["first"] = len(first), first.dtypes.astype(str).to_dict() == then.dtypes.astype(str).to_dict()
gone = {{"synapses": {{"pre_pt_root_id": [{gone}]}}}}
invalid = m.live_live_query("synapses", LATER, filter_in_dict=gone, allow_invalid_root_ids=True)
found["invalid"] = len(invalid), status(
    lambda: m.live_live_query("synapses", LATER, filter_in_dict=gone))
m.session.params = {{"translate_root_ids": "true"}}
found["translated"] = m.live_live_query("synapses", LATER, filter_in_dict=gone)["id"].tolist()
found["of a version"] = m.query_table("synapses", materialization_version=2,
    filter_in_dict=gone["synapses"])["id"].tolist()
m.session.params = {{}}
known = m.live_live_query("synapses", LATER, allow_missing_lookups=True,
    allow_invalid_root_ids=True, metadata=False, log_warning=False,
    datastack_name=client.datastack_name)
found["later"] = known["id"].tolist()
found["naive"] = m.live_live_query("synapses", V1.replace(tzinfo=None))["id"].tolist()
found["live attrs"] = m.live_live_query("synapses", LATER, desired_resolution=[8, 8, 8]).attrs
root = int(c.get_roots([{supervoxel}], timestamp=LATER)[0])
found["mapped"] = m.map_filters([{{"pre_pt_root_id": [root]}}, None], LATER, V1)
found["wrong"] = [status(call) for call in (
    lambda: m.live_live_query("synapses", datetime.datetime(2100, 1, 1)),
    lambda: m.live_live_query("synapses", {start - timedelta(milliseconds=1)!r}),
    lambda: m.live_live_query("nothing", LATER),
    lambda: m.live_live_query("synapses", LATER, filter_in_dict={{"synapses": {{"idd": [1]}}}}),
    lambda: m.live_live_query("synapses", LATER, joins=[["synapses", "id", "nothing", "id"]]),
)]
"""
