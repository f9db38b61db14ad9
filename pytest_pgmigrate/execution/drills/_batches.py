"""Watches, and on demand cuts, the batches of a backfill by a trigger of ours on the table it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from pytest_pgmigrate.execution.ledger import SCHEMA

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.database import Database
    from pytest_pgmigrate.execution.drills._backfill_rows import Target
    from pytest_pgmigrate.execution.drills._standing import Standing

CUT = "57014"
"""query_canceled: no WHEN OTHERS of the user's catches it
(https://www.postgresql.org/docs/current/plpgsql-control-structures.html#PLPGSQL-ERROR-TRAPPING)."""

# Rows that a transaction wrote stand in a table of ours, so that they go with it when it is rolled back.
_SETUP = """
CREATE TABLE {schema}.batch (transaction BIGINT NOT NULL, rows BIGINT NOT NULL, lag BIGINT);
CREATE FUNCTION {schema}.note_batch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $note$
DECLARE
    written BIGINT;
    earlier BIGINT;
BEGIN
    SELECT count(*) INTO written FROM written_rows;
    IF written > 0 THEN
        SELECT count(DISTINCT b.transaction) INTO earlier FROM {schema}.batch b WHERE b.transaction <> txid_current();
        IF TG_ARGV[0] = 'cut' AND earlier > 0 THEN
            RAISE query_canceled USING MESSAGE = 'cut after the first batch';
        END IF;
        INSERT INTO {schema}.batch VALUES (txid_current(), written, (
            SELECT max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), replay_lsn))
              FROM pg_catalog.pg_stat_replication));
    END IF;
    RETURN NULL;
END;
$note$;
CREATE TRIGGER zz_pgmigrate_batch AFTER UPDATE ON {table}
    REFERENCING NEW TABLE AS written_rows FOR EACH STATEMENT EXECUTE FUNCTION {schema}.note_batch({mode});
"""
# Asked as the first batch commits: what the second one draws is lost with it.
_NOTE_SEQUENCES = """
CREATE TABLE {schema}.stood (name TEXT NOT NULL, value BIGINT NOT NULL, called BOOLEAN NOT NULL);
CREATE FUNCTION {schema}.note_sequences() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $note$
DECLARE
    name TEXT;
BEGIN
    IF EXISTS (SELECT FROM {schema}.stood) THEN
        RETURN NULL;
    END IF;
    FOR name IN
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'S' AND c.relpersistence <> 't'
    LOOP
        EXECUTE pg_catalog.format('INSERT INTO {schema}.stood SELECT %L, last_value, is_called FROM %s', name, name);
    END LOOP;
    RETURN NULL;
END;
$note$;
CREATE CONSTRAINT TRIGGER note_sequences AFTER INSERT ON {schema}.batch DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION {schema}.note_sequences();
"""
_STOOD = "SELECT name, value, called FROM {schema}.stood"
_READ = """
SELECT count(*), count(DISTINCT transaction), coalesce(max(rows), 0), coalesce(max(lag), 0),
       coalesce((SELECT max(total) FROM (SELECT sum(rows) AS total FROM {schema}.batch GROUP BY transaction) AS t), 0)
  FROM {schema}.batch
"""


def watch(database: Database, target: Target, *, cut: bool) -> None:
    """Note every UPDATE of the table; ``cut`` stops the second transaction that writes. Raises psycopg.Error."""
    schema = sql.Identifier(SCHEMA)
    with database.control.transaction():
        database.control.execute(
            sql.SQL(_SETUP).format(
                schema=schema,
                table=sql.Identifier(*target.table.split(".", 1)),
                mode=sql.Literal("cut" if cut else "watch"),
            )
        )
        if cut:
            database.control.execute(sql.SQL(_NOTE_SEQUENCES).format(schema=schema))


def stood(database: Database) -> Standing:
    """Where the sequences stood when the first batch committed, of a run that was cut. Raises psycopg.Error."""
    rows = database.control.execute(sql.SQL(_STOOD).format(schema=sql.Identifier(SCHEMA))).fetchall()
    return {name: (value, called) for name, value, called in rows}


class Batches(NamedTuple):
    """Statements and transactions that wrote, rows of the largest of each, the replica's lag in bytes at most."""

    statements: int
    transactions: int
    most_in_statement: int
    lag: int
    most_in_transaction: int


def read(database: Database) -> Batches:
    """What was noted of the transactions that committed."""
    [row] = database.control.execute(sql.SQL(_READ).format(schema=sql.Identifier(SCHEMA))).fetchall()
    return Batches(*map(int, row))


def unwatch(database: Database, target: Target) -> None:
    """Take the trigger away."""
    table = sql.Identifier(*target.table.split(".", 1))
    with database.control.transaction():
        database.control.execute(sql.SQL("DROP TRIGGER IF EXISTS zz_pgmigrate_batch ON {}").format(table))
        database.control.execute(sql.SQL("DROP FUNCTION {}.note_batch()").format(sql.Identifier(SCHEMA)))
