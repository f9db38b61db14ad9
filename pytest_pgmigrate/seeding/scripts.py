"""Runs the user's ``seed/*.before.sql`` and ``seed/*.after.sql``: each once a database, those without a version always."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from pytest_pgmigrate.errors import SeedError
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.seeding import SeedScript
from pytest_pgmigrate.seeding.session import describe
from pytest_pgmigrate.seeding.shape import quote_identifier, quote_literal
from pytest_pgmigrate.seeding.wishes import version_key

TIMEOUT = "60s"
"""statement_timeout of a script that sets none: one that never ends must not hold up the run."""


class Scripts:
    """The scripts of one history. ``say`` takes what went wrong, in words: no script ends the run."""

    def __init__(self, found: Sequence[SeedScript], say: Callable[[str], None]) -> None:
        self._found = tuple(found)
        self._say = say

    @property
    def versions(self) -> frozenset[tuple[int, ...]]:
        """Versions that have a script of their own."""
        return frozenset(version_key(one.version) for one in self._found if one.version)

    def run(self, connection: psycopg.Connection[Any], when: str, version: str, schemas: Sequence[str]) -> None:
        """Run what belongs ``when`` (before, after) a filling at ``version`` and has not run in this database yet.

        Which have run is noted in the first of ``schemas``, where no state is read, so that clones know it too.
        """
        always = [one for one in self._found if one.when == when and not one.version]
        reached = version_key(version)
        due = [one for one in self._found if one.when == when and one.version and version_key(one.version) <= reached]
        done = self._done(connection, schemas) if due else set()
        own = [one for one in due if one.script.file not in done]
        for one in [*always, *own] if when == "before" else [*own, *always]:
            self._send(connection, one, schemas)

    def settle(self, connection: psycopg.Connection[Any]) -> None:
        """Take back what scripts SET for the filling: the connection is used for other things."""
        if self._found:
            connection.execute("RESET SESSION AUTHORIZATION")
            connection.execute("RESET ROLE")
            connection.execute("RESET ALL")

    def _done(self, connection: psycopg.Connection[Any], schemas: Sequence[str]) -> set[str]:
        if not schemas:
            return set()
        table = _table(schemas)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (file text PRIMARY KEY)".encode())
        return {row[0] for row in connection.execute(f"SELECT file FROM {table}".encode()).fetchall()}

    def _send(self, connection: psycopg.Connection[Any], one: SeedScript, schemas: Sequence[str]) -> None:
        """One file, one transaction. One that fails is not tried again: the same words would come twice."""
        defects = [found for found in one.script.defects if found.kind != "directive"]
        if defects:
            self._say(f"{defects[0].place.file}:{defects[0].place.line}: {defects[0].message}; nothing of it was run")
        else:
            self._statements(connection, one.script.statements)
        if one.version and schemas:
            text = f"INSERT INTO {_table(schemas)} VALUES ({quote_literal(one.script.file)}) ON CONFLICT DO NOTHING"
            connection.execute(text.encode())

    def _statements(self, connection: psycopg.Connection[Any], statements: Sequence[Statement]) -> None:
        connection.execute(f"BEGIN; SET LOCAL statement_timeout = '{TIMEOUT}'".encode())
        for statement in statements:
            place = f"{statement.place.file}:{statement.place.line}"
            try:
                connection.execute(statement.text.encode(), prepare=False)
            except psycopg.Error as error:
                if connection.closed:
                    raise SeedError(f"{place}: the connection was lost: {describe(error)}") from error
                self._say(f"{place}: {describe(error)}; nothing of the file was kept")
                break
        if connection.info.transaction_status is TransactionStatus.IDLE:
            return
        failed = connection.info.transaction_status is TransactionStatus.INERROR
        try:
            connection.execute("ROLLBACK" if failed else "COMMIT")
        except psycopg.Error as error:  # what is deferred to the end
            self._say(f"{statements[-1].place.file}: {describe(error)}; nothing of the file was kept")


def _table(schemas: Sequence[str]) -> str:
    return f"{quote_identifier(schemas[0])}.seed_scripts"
