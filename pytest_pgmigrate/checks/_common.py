"""What several checks need: the statement to blame, the user's own names, acknowledgements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_pgmigrate.model.evidence import MigrationEvidence, ServerError, Step
from pytest_pgmigrate.model.migration import Directive, Migration, Place, Script, Statement
from pytest_pgmigrate.model.state import ObjectChange, TableChange

SHOWN = 5
"""Objects or rows listed in one finding; the rest is counted."""

CONTRACTION = ("PMG601", "PMG602", "PMG603", "PMG605")
"""What a migration that declares itself a contraction is allowed: what we imagine of the old release, not what a query
file shows (PMG604), nor what fails after the down (PMG607)."""


def top(script: Script) -> Place:
    """The first line of a file: where a finding about the file as a whole stands."""
    return Place(script.file, 1, 1)


def last_part(name: str) -> str:
    """The name without schema, table and argument list, lower case, unquoted."""
    return name.split("(", 1)[0].rsplit(" ", 1)[-1].rsplit(".", 1)[-1].strip('"').lower()


def first_line(text: str, width: int = 90) -> str:
    """A statement on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def short(name: str) -> str:
    """A qualified name as a user of the default search_path writes it."""
    return name.removeprefix("public.")


def maker(change: ObjectChange, script: Script) -> Statement | None:
    """The statement of ``script`` that makes the object, by name; None when no name fits."""
    wanted = last_part(change.key.name)
    for statement in script.statements:
        if any(last_part(name) == wanted for name in statement.creates):
            return statement
    for statement in script.statements:
        # users_id_seq of a serial column, users_pkey and the like carry their table's name.
        if any(wanted.startswith(last_part(name) + "_") for name in statement.creates):
            return statement
    return None


def writer(change: TableChange, script: Script) -> Statement | None:
    """The statement of ``script`` that writes or empties the table; a TRUNCATE … CASCADE of another one counts."""
    table = last_part(change.table)
    for statement in script.statements:
        if _writes(statement) and table in {last_part(name) for name in statement.relations}:
            return statement
    return next((s for s in script.statements if s.kind.startswith("truncate")), None)


def _writes(statement: Statement) -> bool:
    return statement.kind.split("_", 1)[0] in ("insert", "update", "delete", "merge", "truncate", "copy")


def acknowledged(migration: Migration, *names: str) -> Directive | None:
    """The ``irreversible`` directive that speaks of one of these names (``table`` or ``table.column``), or of all."""
    wanted = {short(name).lower() for name in names} | {name.lower() for name in names}
    for directive in migration.irreversible():
        if not directive.args:
            return directive
        if wanted & {short(arg).lower() for arg in directive.args} or wanted & {arg.lower() for arg in directive.args}:
            return directive
    return None


def table_names(change: TableChange) -> tuple[str, ...]:
    """Every name under which a user may acknowledge this table's lost values."""
    columns = change.lost_columns or change.columns
    return (change.table, *(f"{change.table}.{column}" for column in columns))


def wholly_acknowledged(migration: Migration, change: TableChange) -> Directive | None:
    """The directive that covers all of a table's lost columns, or the table itself."""
    whole = acknowledged(migration, change.table)
    if whole is not None:
        return whole
    columns = change.lost_columns or change.columns
    found = [acknowledged(migration, f"{change.table}.{column}") for column in columns]
    return found[0] if found and all(found) else None


def explained(step: Step, change: TableChange) -> bool:
    """Whether clocks and generated keys explain everything that differs in this table."""
    return bool(change.columns) and all(f"{change.table}.{column}" in step.explained for column in change.columns)


def data_changes(step: Step) -> tuple[TableChange, ...]:
    """Tables whose rows differ for a reason other than the clock."""
    return tuple(change for change in step.difference.tables if not explained(step, change))


def listed(items: Iterable[object]) -> tuple[str, ...]:
    """At most SHOWN lines, and how many more there are."""
    lines = [str(item) for item in items]
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], f"… and {more} more") if more > 0 else tuple(lines)


def error_details(error: ServerError) -> tuple[str, ...]:
    """Detail, hint and context as the server gave them."""
    lines = []
    if error.statement is not None:
        lines.append(f"statement: {first_line(error.statement.text)}")
    lines += [f"{name}: {first_line(text, 160)}" for name, text in _extras(error) if text]
    return tuple(lines)


def _extras(error: ServerError) -> Sequence[tuple[str, str]]:
    return (("detail", error.detail), ("hint", error.hint), ("context", error.context))


def is_transaction_fault(error: ServerError) -> bool:
    """Whether the statement was refused for the transaction it ran in (active, missing, or the enum value's own)."""
    return error.sqlstate in ("25001", "25P01", "55P04")


def is_refusal(error: ServerError) -> bool:
    """A down that refuses on purpose: RAISE EXCEPTION without a condition name of PostgreSQL's own."""
    return error.sqlstate == "P0001"


def error_facts(error: ServerError) -> dict[str, object]:
    """The error as plain values for the report."""
    return {"sqlstate": error.sqlstate, "message": error.message}


def down_of(evidence: MigrationEvidence) -> Script:
    """The down's file, or the up's where there is none."""
    return evidence.migration.down or evidence.migration.up


def is_only_position(change: ObjectChange) -> bool:
    """A column that stands elsewhere in its table, and nothing more."""
    return change.change == "changed" and change.attribute == "position"


def is_unreturnable(change: ObjectChange) -> bool:
    """An enum label or an extension that was left: what PostgreSQL gives no simple way back from."""
    if change.change == "extra" and change.key.kind == "extension":
        return True
    if change.change != "changed" or change.attribute != "labels":
        return False
    old, new = change.old, change.new
    return isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and set(old) < set(new)


def is_soft(change: ObjectChange) -> bool:
    """A comment or a statistics target: nothing that changes what a statement does."""
    return change.change == "changed" and change.attribute in ("comment", "statistics")


def is_unpopulated(change: ObjectChange) -> bool:
    """A materialized view that was filled and is not any more: PMG704 speaks of it."""
    return change.change == "changed" and change.attribute == "populated" and change.new is False


def is_wrong(change: ObjectChange) -> bool:
    """A difference of which no check of its own speaks: column order, comments, what PostgreSQL cannot take back, …"""
    return not (is_only_position(change) or is_unreturnable(change) or is_soft(change) or is_unpopulated(change))


def consequence(evidence: MigrationEvidence, table: str = "") -> str:
    """What the second up made of the leftovers (those in ``table``), as the end of a sentence."""
    again = evidence.again
    if again is None or again.name != "up on leftovers":
        return ""
    if again.error is not None:
        return f"; a second up then fails: {again.error.message}"
    more = sum(c.new_count - c.old_count for c in again.difference.tables if c.table == table)
    rows = "1 row" if more == 1 else f"{more} rows"
    return f"; a second up then inserts {rows} more than the first left" if more > 0 else ""
