"""A run to be killed: starts a cluster, says so, then makes and drops databases for ever.

``python -m tests.engines.victim ENGINE WANT-AS-JSON [once]``; with ``once`` it closes the cluster and ends.
"""

from __future__ import annotations

import json
import sys

from pytest_pgmigrate.model.cluster import Want
from pytest_pgmigrate.registry import load_engines


def main(name: str, want: Want, once: bool) -> None:
    engine = load_engines()[name]
    print("starting", flush=True)
    engine.sweep()
    cluster = engine.start(want, lambda _: None)
    print(f"ready {getattr(cluster, 'token', '')}", flush=True)
    while True:
        base = cluster.create_database("base")
        with cluster.connect(base) as connection:
            connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
        cluster.drop_database(cluster.create_database("clone", template=base))
        cluster.wait_for_replica()
        if once:
            cluster.close()
            return


if __name__ == "__main__":
    main(sys.argv[1], Want(**json.loads(sys.argv[2])), once=len(sys.argv) > 3)
