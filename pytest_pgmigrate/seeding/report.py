"""What seeding says of one table: status, reason, root cause, and what to paste where it could not be filled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pytest_pgmigrate.model.cluster import SeedReport
from pytest_pgmigrate.seeding.rows import EmptyParent
from pytest_pgmigrate.seeding.shape import Column, Table

NO_PARTITION = "the partitioned table has no partition"


def no_parent(error: EmptyParent) -> str:
    """The reason of a table whose parent has no row."""
    return f"parent {error} is empty"


def report(table: Table, asked: int, filled: int, reason: str, status: str = "") -> SeedReport:
    """The report of one table; ``status`` where it does not follow from the numbers."""
    if filled >= asked and status in ("", "full"):
        return SeedReport(str(table.ident), asked, filled, "full")
    status = status or ("partial" if filled else "empty")
    reason = reason or "rows collided with others"
    stub = stub_of(table, reason) if status in ("partial", "empty") else ""
    return SeedReport(str(table.ident), asked, filled, status, reason, stub=stub)


def with_root_causes(reports: Sequence[SeedReport]) -> tuple[SeedReport, ...]:
    """Reports of tables whose parent is empty name the table where that began, and hold its stub."""
    by_name = {one.table: one for one in reports}
    found = []
    for one in reports:
        root, passed = one, {one.table}
        while (parent := _parent_of(root)) in by_name and parent not in passed:
            passed.add(parent)
            root = by_name[parent]
        found.append(one if root is one else replace(one, cause=f"{root.table}: {root.reason}", stub=root.stub))
    return tuple(found)


def _parent_of(one: SeedReport) -> str:
    match = re.fullmatch(r"parent (.+) is empty", one.reason, re.DOTALL)
    return match[1] if match else ""


def stub_of(table: Table, reason: str) -> str:
    """One line of SQL to complete and paste: the columns that need a value, and the constraint that stopped us."""
    if table.partitions == 0:
        return f"CREATE TABLE partition_name PARTITION OF {table.ident.quoted} FOR VALUES …;"
    blamed = [check for check in table.checks if check.name in reason]
    wanted = {name for check in blamed for name in check.columns}
    wanted |= {name for unique in table.uniques if unique.name in reason for name in unique.columns}
    columns = [one for one in table.columns if not one.generated and (one.name in wanted or _required(one))]
    comment = "".join(f" -- {check.name}: CHECK ({check.expression})" for check in blamed[:1]).replace("\n", " ")
    if not columns:
        return f"INSERT INTO {table.ident.quoted} DEFAULT VALUES;{comment}"
    names = ", ".join(column.quoted for column in columns)
    values = ", ".join(f"NULL /* {_type_of(column)} */" for column in columns)
    return f"INSERT INTO {table.ident.quoted} ({names}) VALUES ({values});{comment}"


def _required(column: Column) -> bool:
    return column.not_null and column.default is None and not column.identity


def _type_of(column: Column) -> str:
    return column.type.text + (" NOT NULL" if column.not_null else "")
