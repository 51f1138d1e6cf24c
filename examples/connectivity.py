"""The partners of a neuron in two versions: what proofreading changed of its connectivity.

    python examples/connectivity.py --server http://localhost:8000 --datastack snemi3d

It asks a server with CAVEclient, as notebooks do, and draws the partners before and after. A
neuron is named by a supervoxel, because its root ids change; by default it is one whose
synapses changed most.
"""

# %% What to look at
import argparse

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from caveclient import CAVEclient

# in SVG files text stays text, and the same data give the same file
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "connectivity"})

words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
words.add_argument("--server", default="http://localhost:8000")
words.add_argument("--datastack", default="snemi3d")
words.add_argument("--neuron", type=int, help="a supervoxel of it")
words.add_argument("--out", default="connectivity.svg", help="an SVG or PNG file")
given = words.parse_args()

client = CAVEclient(given.datastack, server_address=given.server)
versions = sorted(client.materialize.get_versions())
if len(versions) < 2:
    raise SystemExit("There must be two versions to compare. Make them: matengine materialize")
first, last = versions[0], versions[-1]
times = [client.materialize.get_timestamp(version) for version in (first, last)]

# %% The synapses that both versions have: what differs between these is proofreading alone
before, after = (
    client.materialize.synapse_query(
        materialization_version=version, include_zeros=False, remove_autapses=False
    )
    for version in (first, last)
)
both = np.intersect1d(before["id"], after["id"])
before, after = (frame[frame["id"].isin(both)] for frame in (before, after))
# contacts of a neuron with itself are no connections
before, after = (
    frame[frame["pre_pt_root_id"] != frame["post_pt_root_id"]] for frame in (before, after)
)


# %% Partners are named by what they are in the last version, so that both can be compared
def partners(synapses: pd.DataFrame, root: int) -> pd.Series:
    """How many synapses a root makes with each partner (its root in the last version)."""
    of_neuron = synapses[synapses["pre_pt_root_id"] == root]
    supervoxels = of_neuron["post_pt_supervoxel_id"].to_numpy()
    now = client.chunkedgraph.get_roots(supervoxels, timestamp=times[1])
    return pd.Series(now.astype(np.int64)).value_counts()


def root_of(supervoxel: int, synapses: pd.DataFrame) -> int:
    found = synapses.loc[synapses["pre_pt_supervoxel_id"] == supervoxel, "pre_pt_root_id"]
    return int(found.iloc[0]) if len(found) else 0


def changed_most() -> int:
    """The supervoxel whose neuron, with synapses enough, gained or lost most of them."""
    counts = pd.DataFrame(
        {
            when: frame.groupby("pre_pt_supervoxel_id")["pre_pt_root_id"]
            .first()
            .map(frame["pre_pt_root_id"].value_counts())
            for when, frame in (("before", before), ("after", after))
        }
    ).fillna(0)
    enough = counts[(counts >= 20).all(axis="columns")]
    counts = enough if len(enough) else counts
    return int((counts["after"] - counts["before"]).abs().idxmax())


neuron = given.neuron or changed_most()
roots = [root_of(neuron, frame) for frame in (before, after)]
table = pd.DataFrame(
    {
        when: partners(frame, root)
        for when, frame, root in zip(("before", "after"), (before, after), roots, strict=True)
    }
)
table = table.fillna(0).astype(int).sort_values(["after", "before"], ascending=False)
gained = int(((table["before"] == 0) & (table["after"] > 0)).sum())
lost = int(((table["before"] > 0) & (table["after"] == 0)).sum())
print(f"supervoxel {neuron}: root {roots[0]} in version {first}, {roots[1]} in version {last}")
print(f"partners: {(table['before'] > 0).sum()} before, {(table['after'] > 0).sum()} after")
print(f"gained {gained}, lost {lost}; synapses: {table.sum().to_dict()}")

# %% The picture: the strongest partners, and how many synapses each of them has
shown = table.head(25)
places = np.arange(len(shown))
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4.2), width_ratios=(3, 1), layout="constrained"
)
left.bar(places - 0.2, shown["before"], 0.4, color="#b0b7c3", label=f"version {first}")
left.bar(places + 0.2, shown["after"], 0.4, color="#1f6feb", label=f"version {last}")
left.set_xticks(places, [f"…{root % 100_000:05d}" for root in shown.index], rotation=90, size=7)
left.set_xlabel("postsynaptic partner (end of its root id)")
left.set_ylabel("synapses")
left.set_title(f"The {len(shown)} strongest of {len(table)} partners", size=10)
left.legend(frameon=False)
kept = int(((table["before"] > 0) & (table["after"] > 0)).sum())
right.bar(["kept", "gained", "lost"], [kept, gained, lost], color=["#8b949e", "#1a7f37", "#cf222e"])
right.set_ylabel("partners")
right.set_title("Partners", size=10)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(given.out, metadata={"Date": None} if given.out.endswith(".svg") else None)
print(f"drawn: {given.out}")
