"""The worked examples of docs/how-to/test-your-migrations.md, as a user would write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_pgmigrate import MigrationFailed, PgMigrate

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-migrations.md"


# -- example 1 --------------------------------------------------------------------------------------------------------------


@pytest.mark.pgmigrate_history("fixtures/expand_contract/repaired")
def test_the_backfill_keeps_what_was_there(pgmigrate: PgMigrate) -> None:
    pgmigrate.at("000001")  # rows as the release of version 1 wrote them
    ada = pgmigrate.insert("accounts", username="Ada")
    pgmigrate.up(to="000004")
    eve = pgmigrate.insert("accounts", username="Eve")
    pgmigrate.primary.execute("UPDATE accounts SET handle = 'chosen' WHERE id = %s", [eve["id"]])
    before = pgmigrate.snapshot()

    pgmigrate.up(to="000005")

    handles = dict(pgmigrate.primary.execute("SELECT username, handle FROM accounts").fetchall())
    assert len(handles) == 22
    assert handles["Ada"] == "ada"
    assert handles["Eve"] == "chosen"  # a handle that was there is not written over
    assert None not in handles.values()
    pgmigrate.wait_for_replica()
    assert dict(pgmigrate.replica.execute("SELECT username, handle FROM accounts").fetchall()) == handles

    pgmigrate.down()
    assert pgmigrate.snapshot() == before
    assert pgmigrate.insert("accounts", username="Bob")["id"] > ada["id"]


# -- example 2 --------------------------------------------------------------------------------------------------------------


@pytest.mark.pgmigrate_history("fixtures/expand_contract/repaired")
def test_old_and_new_release_write_during_the_backfill(pgmigrate: PgMigrate) -> None:
    pgmigrate.at("000004", rows=50)

    def old_release(connection: psycopg.Connection[Any]) -> None:
        connection.execute("INSERT INTO accounts (username) VALUES ('Old' || nextval('accounts_id_seq'))")
        connection.execute("UPDATE accounts SET username = reverse(username) WHERE id = 7")

    def new_release(connection: psycopg.Connection[Any]) -> None:
        connection.execute("UPDATE accounts SET username = 'Zoe', handle = 'zoe' WHERE id = 8")

    with pgmigrate.concurrently(old_release, repeat=True) as old, pgmigrate.concurrently(new_release, repeat=True):
        pgmigrate.up(to="000008")

    wrong = "SELECT * FROM accounts WHERE handle IS DISTINCT FROM lower(username)"
    assert pgmigrate.primary.execute(wrong).fetchall() == []
    count = pgmigrate.primary.execute("SELECT count(*) FROM accounts").fetchone()
    assert count == (50 + len(old.results),)


# -- example 3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.pgmigrate_history("fixtures/ecommerce/repaired")
@pytest.mark.parametrize("statements", [1, 2])
@pytest.mark.parametrize("version", ["000011", "000012"])
def test_a_retry_after_an_interruption_converges(pgmigrate: PgMigrate, version: str, statements: int) -> None:
    pgmigrate.at("000009").up(to=version)
    clean = pgmigrate.snapshot()

    before = f"{int(version) - 1:06}"
    pgmigrate.at("000009").up(to=before)
    left = pgmigrate.interrupt_after(statements)
    assert bool(left) == ((version, statements) != ("000011", 1)), left
    pgmigrate.up(to=version)

    assert pgmigrate.snapshot() == clean


# -- a migration that should fail --------------------------------------------------------------------------------------------


@pytest.mark.pgmigrate_history("fixtures/expand_contract/repaired")
def test_the_verification_stops_on_a_handle_that_differs(pgmigrate: PgMigrate) -> None:
    pgmigrate.at("000007")
    pgmigrate.primary.execute("UPDATE accounts SET handle = 'other' WHERE id = 3")

    with pytest.raises(MigrationFailed, match="1 accounts have no handle or another one") as failed:
        pgmigrate.up()

    assert failed.value.migration == "000008_verify_and_require_handle"
    assert pgmigrate.version == "000007"


# -- the page -----------------------------------------------------------------------------------------------------------------


def test_the_how_to_shows_these_examples() -> None:
    """Word for word."""
    source = Path(__file__).read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    examples = [block for block in shown if "\ndef test_" in block]
    assert len(examples) == 4
    for block in examples:
        code = block.split("\n\n\n")[-1].rstrip()
        assert code in source
