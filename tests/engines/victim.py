"""A run to be killed: starts a cluster, says so, then makes and drops databases for ever.

``python -m tests.engines.victim ENGINE WANT-AS-JSON [once | forks | pytest]``; with ``once`` it closes the cluster and
ends, with ``forks`` it copies the primary and crashes the copy for ever, with ``pytest`` it is a whole
``pytest --pgmigrate`` over the repaired history of the first article.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_pgmigrate.model.cluster import Want
from pytest_pgmigrate.registry import load_engines

if TYPE_CHECKING:
    from pytest_pgmigrate.model.cluster import Forks

HISTORY = Path(__file__).parents[2] / "fixtures" / "ecommerce" / "repaired"


def run_pytest(name: str, want: Want) -> int:
    """The main job as a user starts it, silent."""
    print("starting", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    given = {"image": want.image, "dsn": want.dsn, "replica-dsn": want.replica_dsn}
    flags = [f"--pgmigrate-{key}={value}" for key, value in given.items() if value]
    flags += [f"--pgmigrate-engine={name}", f"--pgmigrate-path={HISTORY}", f"--rootdir={HISTORY.parent}"]
    # No configuration of a project's and no cache: the run must not leave anything, wherever it stands.
    return int(
        pytest.main(
            ["-p", "no:faker", "-p", "no:cacheprovider", "-c", os.devnull, "--pgmigrate", *flags, "-m", "pgmigrate"]
        )
    )


def crash_for_ever(cluster: Forks) -> None:
    """Copies of the primary, crashed and started again; says ``forked`` when the first one stands."""
    said = False
    while True:
        with closing(cluster.fork()) as fork:
            if not said:
                print("forked", flush=True)
                said = True
            for _ in range(3):
                fork.crash()
                fork.restart()


def main(name: str, want: Want, once: bool, forks: bool = False) -> None:
    engine = load_engines()[name]
    print("starting", flush=True)
    engine.sweep()
    cluster = engine.start(want, lambda _: None)
    print(f"ready {getattr(cluster, 'token', '')}", flush=True)
    if forks:
        crash_for_ever(cast("Forks", cluster))
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
    asked = Want(**json.loads(sys.argv[2]))
    if sys.argv[3:] == ["pytest"]:
        sys.exit(run_pytest(sys.argv[1], asked))
    main(sys.argv[1], asked, once=sys.argv[3:] == ["once"], forks=sys.argv[3:] == ["forks"])
