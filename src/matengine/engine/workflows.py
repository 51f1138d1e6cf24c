"""The workflows, by the names that users know."""

from matengine.engine import upload
from matengine.engine.lookup import ingest
from matengine.engine.runs.workflow import Workflow
from matengine.engine.versions import (
    apply,
    collect,
    compact,
    epoch,
    first,
    publish,
    rebase,
    resolve,
    turns,
)

_EPOCH = Workflow(
    phases={
        "collect": epoch.plan_collect,
        "resolve": epoch.plan_nothing,
        "apply": epoch.plan_apply,
        "index": epoch.plan_index,
        "publish": publish.publish,
    },
    work={
        "collect": collect.collect,
        "fresh": resolve.resolve,
        "staged": resolve.resolve,
        first.KIND: first.write,
        first.FORGET: first.forget,
        "apply": apply.apply,
        rebase.KIND: rebase.rebase,
        "index": epoch.build_index,
    },
    ready=epoch.ready,
    undo=turns.take_back,
    take_turn=epoch.take_turn,
)

WORKFLOWS: dict[str, Workflow] = {
    # an epoch with a version
    "complete": _EPOCH,
    # an epoch without one; an epoch brings all to one time, so updating roots is the same
    "update_database": _EPOCH,
    "update_roots": _EPOCH,
    # a file of annotations, and then its supervoxels
    upload.WORKFLOW: Workflow(
        phases={
            "load": upload.plan_load,
            "lookup": upload.plan_lookup,
            "end": upload.end,
        },
        work={upload.KIND: upload.load, upload.INDEX: upload.index, "lookup": ingest.look_up},
        ready=ingest.ready,
        undo=epoch.plan_nothing,
    ),
    # supervoxels of new rows, ahead of the epoch that will want them
    "ingest": Workflow(
        phases={"lookup": ingest.plan_lookup, "end": epoch.plan_nothing},
        work={"lookup": ingest.look_up},
        ready=ingest.ready,
        undo=epoch.plan_nothing,
    ),
    # histories in the order of their roots again
    "compact": Workflow(
        phases={"compact": compact.plan, "end": epoch.plan_nothing},
        work={compact.WORKFLOW: compact.compact},
        ready=compact.ready,
        undo=compact.undo,
    ),
}
