"""How even entries and clusters are after balance by text, by image and by both, at equal size.

    python -m benchmarks.joint_balance RUN        # workspace/runs/balance-joint, or another with `entries` and `cluster`

Prints, per share that is kept, the entropy in bits of the distribution over entries (by mention) and over clusters.
Pairs that lack a side are left out of all.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

import curate
from curate.columns import to_numpy
from curate.contracts import Selection
from curate.scan import MemoryScan
from curate.schema import hash_words, uid_words
from stages.select.balance import ClusterCap
from stages.select.joint import JointBalance, Sides
from stages.select.metaclip import EntryBalance, mentions

SHARES = (0.7, 0.5, 0.3)


def pairs(path: str) -> dict[str, np.ndarray]:
    """Entries, cluster and uid of the run's pairs that have both sides."""
    table = curate.open_run(path).table("uid", "entries", "cluster")
    entries = np.empty(table.num_rows, object)
    entries[:] = table["entries"].to_pylist()
    cluster = to_numpy(table["cluster"]).astype(np.float64)
    there = np.array([bool(found) for found in entries.tolist()]) & ~np.isnan(cluster)
    return {"entries": entries[there], "cluster": cluster[there], "uid": uid_words(table["uid"])[there]}


def drawn(columns: Mapping[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Per way which pairs stay, bool (n,)."""
    scan = MemoryScan(columns)
    steps: dict[str, Selection] = {
        "entries only": EntryBalance(fraction=share),
        "clusters only": ClusterCap(alpha=0, fraction=share),
        "joint": JointBalance(fraction=share),
    }
    stays = {"random": hash_words(0, columns["uid"], "random") < np.uint64(share * 2.0**64)}
    return stays | {name: step.apply(scan.columns, scan.fit(step), 0) > 0 for name, step in steps.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.joint_balance", description=__doc__)
    parser.add_argument("run")
    columns = pairs(parser.parse_args().run)
    both = Sides(*mentions(columns["entries"].tolist()), columns["cluster"].astype(np.int64))
    text, image = both.entropies(np.ones(both.n))
    print(f"{'':18}{'pairs':>8}{'entries':>9}{'clusters':>10}\n{'all':18}{both.n:8,}{text:9.2f}{image:10.2f}")
    for share in SHARES:
        for name, stays in drawn(columns, share).items():
            text, image = both.entropies(stays.astype(np.float64))
            print(f"{f'{share:.0%} {name}':18}{int(stays.sum()):8,}{text:9.2f}{image:10.2f}")


if __name__ == "__main__":
    main()
