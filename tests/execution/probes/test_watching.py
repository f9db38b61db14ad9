"""What is seen of whole scripts: transactions, locks held on, settings in force, and scripts that work against it."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.model.cluster import Cluster
from pytest_pgmigrate.model.evidence import Step
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Direction
from pytest_pgmigrate.model.watch import StatementSeen
from pytest_pgmigrate.options import Settings
from tests.execution.probes.conftest import Run, migration, opened


def held(seen: StatementSeen) -> dict[str, tuple[Mode, int]]:
    """Tables by name with the mode and the statement that took it first."""
    return {
        lock.relation.name.removeprefix("public."): (lock.mode, lock.since)
        for lock in seen.held
        if lock.relation.holds_rows
    }


def transactions(step: Step) -> list[int]:
    return [seen.transaction for seen in step.watched]


def test_a_lock_is_held_on_to_the_end_of_its_transaction(watch: Run) -> None:
    step = watch("ALTER TABLE p ADD COLUMN x int;\nUPDATE o SET v = 0;\nCREATE INDEX o_v ON o (v);\n")

    first, second, third = step.watched
    assert transactions(step) == [0, 0, 0]
    assert held(first) == {"p": (Mode.ACCESS_EXCLUSIVE, 0)}
    assert held(second) == {"p": (Mode.ACCESS_EXCLUSIVE, 0), "o": (Mode.ROW_EXCLUSIVE, 1)}
    # A stronger mode counts from the statement that asked for it.
    assert held(third) == {"p": (Mode.ACCESS_EXCLUSIVE, 0), "o": (Mode.SHARE, 2)}
    assert [lock.relation.name for lock in third.taken if lock.relation.holds_rows] == ["public.o"]


def test_a_commit_of_the_files_own_gives_locks_back(watch: Run) -> None:
    step = watch("BEGIN;\nALTER TABLE p ADD COLUMN x int;\nCOMMIT;\nALTER TABLE o ADD COLUMN x int;\n")

    by_line = {seen.statement.place.line: seen for seen in step.watched}
    assert held(by_line[2]) == {"p": (Mode.ACCESS_EXCLUSIVE, 1)}
    assert held(by_line[4]) == {"o": (Mode.ACCESS_EXCLUSIVE, 3)}
    assert by_line[2].transaction != by_line[4].transaction


def test_a_table_of_the_migrations_own_is_new_for_all_of_it(watch: Run) -> None:
    step = watch(
        "-- pgmigrate: no-transaction\n"
        "CREATE TABLE fresh (id int);\nINSERT INTO fresh SELECT 1;\nALTER TABLE fresh ADD COLUMN x int;\n"
        "CREATE INDEX CONCURRENTLY fresh_id ON fresh (id);\n"
    )

    assert [held(seen) for seen in step.watched] == [{}, {}, {}, {}]
    assert [(c.relation.name, c.relation.new, c.inserted) for c in step.watched[1].counts] == [
        ("public.fresh", True, 1)
    ]
    assert transactions(step) == [0, 1, 2, 3]
    assert step.watched[3].stops == 3
    assert step.watched[3].built == ()


def test_settings_are_those_in_force_when_the_statement_starts(watch: Run) -> None:
    step = watch(
        "BEGIN;\nSET LOCAL lock_timeout = '3s';\nALTER TABLE p ADD COLUMN x int;\n"
        "SELECT set_config('lock_timeout', '4s', true);\nALTER TABLE p ADD COLUMN y int;\nCOMMIT;\n"
        "ALTER TABLE o ADD COLUMN x int;\n"
    )

    in_force = {seen.statement.place.line: seen.settings["lock_timeout"] for seen in step.watched if seen.held}
    # SET LOCAL ends with its transaction: what runs after COMMIT has only our own guard.
    assert in_force == {3: "3s", 4: "3s", 5: "4s", 7: "30s"}


def test_set_transaction_still_comes_first(watch: Run) -> None:
    step = watch(
        "BEGIN;\nSET LOCAL lock_timeout = '3s';\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
        "ALTER TABLE p ADD COLUMN x int;\nCOMMIT;\n"
    )

    assert step.error is None
    assert held(step.watched[3]) == {"p": (Mode.ACCESS_EXCLUSIVE, 3)}


def test_rows_that_parallel_workers_read_are_counted(watch: Run) -> None:
    step = watch(
        "SET max_parallel_workers_per_gather = 2;\nSET min_parallel_table_scan_size = 0;\nSET parallel_setup_cost = 0;\n"
        "SET parallel_tuple_cost = 0;\nSELECT count(*) FROM p WHERE v > 0;\nRESET ALL;\n"
    )

    count = step.watched[4].count("public.p")
    assert count is not None
    assert count.read == 40


def test_wal_bytes_are_the_same_every_time(cluster: Cluster, template: str) -> None:
    text = "ALTER TABLE p ADD COLUMN x int;\nUPDATE p SET v = 5;\nCREATE INDEX p_t ON p (t);\n"
    seen = []
    for _ in range(3):
        with opened(cluster, template) as database:
            step = database.run("up", migration(text), Direction.UP, watched=True)
            seen.append([s.wal_bytes for s in step.watched])
    assert [len(run) for run in seen] == [3, 3, 3]
    # A page of the catalog may be pruned on the way, or the background writer note what runs; a full page, of 8 kB, is
    # never written.
    for each in zip(*seen, strict=True):
        assert min(each) > 0
        assert max(each) - min(each) <= 500, seen


def test_commits_are_not_held_when_the_migration_forbids_it(watch: Run) -> None:
    step = watch(
        "-- pgmigrate: no-transaction\nSET synchronous_commit = off;\nCREATE INDEX CONCURRENTLY p_t ON p (t);\n"
        "RESET synchronous_commit;\n"
    )

    assert step.error is None
    assert step.watched[1].stops == 0
    [note] = step.notes
    assert "1_step.up.sql:3:1" in note
    assert "synchronous_commit to off" in note


def test_a_routine_that_turns_waiting_off_is_noticed(watch: Run) -> None:
    step = watch(
        "-- pgmigrate: no-transaction\n"
        "DO $$ BEGIN PERFORM set_config('synchronous_commit', 'off', false); UPDATE p SET v = 1; COMMIT; END $$;\n"
    )

    assert step.error is None
    assert any("sets synchronous_commit itself" in note for note in step.notes)


def test_a_procedure_that_commits_is_held_at_each_commit(watch: Run) -> None:
    step = watch(
        "CREATE PROCEDURE batches() LANGUAGE plpgsql AS $$ BEGIN\n"
        "  FOR i IN 1..3 LOOP UPDATE o SET v = i WHERE id = i; COMMIT; END LOOP;\nEND $$;\n"
    )
    assert step.error is None
    step = watch("CALL batches();\n")

    assert step.error is None
    [seen] = step.watched
    assert (seen.stops, held(seen)) == (3, {"o": (Mode.ROW_EXCLUSIVE, 0)})
    assert [(c.relation.name, c.updated) for c in seen.counts] == [("public.o", 3)]


def test_a_function_that_commits_inside_a_do_block_without_the_word(watch: Run) -> None:
    """The block is refused between BEGIN and COMMIT of ours (2D000), and then runs as the tool sends it."""
    watch("CREATE PROCEDURE one() LANGUAGE plpgsql AS $$ BEGIN UPDATE o SET v = 9; COMMIT; END $$;\n")
    step = watch("DO $$ BEGIN EXECUTE 'CA' || 'LL one()'; END $$;\n")

    # EXECUTE'd CALL cannot commit at all in PL/pgSQL: the tool would see the same error.
    assert step.error is not None
    assert step.error.sqlstate == "2D000"


def test_the_session_is_terminated_by_its_own_statement(watch: Run) -> None:
    step = watch("ALTER TABLE p ADD COLUMN x int;\nSELECT pg_terminate_backend(pg_backend_pid());\n")

    assert step.error is not None
    assert [seen.failed for seen in step.watched] == [False, True]
    # The session has gone, the next script gets another one.
    assert watch("ALTER TABLE p ADD COLUMN x int;\n").error is None


def test_a_lock_that_never_comes_ends_with_the_time_out(cluster: Cluster, template: str) -> None:
    name = cluster.create_database("kind", template=template)
    from pytest_pgmigrate.execution.database import Database, Watch

    database = Database(cluster, name, Settings(lock_timeout=0.3), fresh=True, watch=Watch(blocking=False))
    try:
        with cluster.connect(name, autocommit=False) as other:
            other.execute("LOCK TABLE p IN ROW EXCLUSIVE MODE")
            step = database.run(
                "up", migration("CREATE INDEX CONCURRENTLY p_t ON p (t);\n"), Direction.UP, watched=True
            )
    finally:
        database.release()
        cluster.drop_database(name)
    assert step.error is not None
    assert step.error.sqlstate == "55P03"
    [seen] = step.watched
    assert seen.failed
    assert held(seen) == {"p": (Mode.SHARE_UPDATE_EXCLUSIVE, 0)}


def test_nothing_is_left_of_the_gate(watch: Run, cluster: Cluster) -> None:
    assert watch("CREATE INDEX CONCURRENTLY p_t ON p (t);\n").error is None

    with cluster.connect(cluster.maintenance_database) as connection:
        [(setting,)] = connection.execute(
            "SELECT count(*) FROM pg_file_settings WHERE name = 'synchronous_standby_names'"
        ).fetchall()
    assert setting == 0


@pytest.mark.parametrize("text", ["SAVEPOINT a;\nALTER TABLE p ADD COLUMN x int;\n", "SELECT 1;\nSAVEPOINT a;\n"])
def test_what_cannot_be_split_is_said(watch: Run, text: str) -> None:
    step = watch(text)

    assert step.error is not None
    assert step.watched == ()
    assert ["SAVEPOINT without BEGIN" in note for note in step.notes] == [True]


def test_an_error_inside_a_savepoint_gives_its_locks_back(watch: Run) -> None:
    step = watch(
        "BEGIN;\nSAVEPOINT a;\nALTER TABLE p ADD COLUMN x int;\nROLLBACK TO SAVEPOINT a;\n"
        "ALTER TABLE o ADD COLUMN x int;\nCOMMIT;\n"
    )

    by_line = {seen.statement.place.line: seen for seen in step.watched}
    assert held(by_line[3]) == {"p": (Mode.ACCESS_EXCLUSIVE, 2)}
    assert held(by_line[5]) == {"o": (Mode.ACCESS_EXCLUSIVE, 4)}
