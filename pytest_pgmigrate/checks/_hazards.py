"""Names every piece of work that a statement did on an existing table while a lock kept the application from it.

One statement's work on one table is one ``Hazard`` with one code, so that no two checks report the same scan; the
checks PMG301 to PMG314 pick theirs with ``found`` and word the finding with ``observe``. What decides is what was
observed (files rewritten, indexes built, rows read, locks held); the text only tells which command did it.

Which command rewrites, rebuilds or scans, and under which lock:
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_pgmigrate.checks._common import first_line, last_part, short
from pytest_pgmigrate.checks._locks import (
    Watched,
    blocked_lines,
    blocking,
    is_small,
    known_rows,
    lock_facts,
    remembered,
    rows_phrase,
    watched,
    weigh,
    who_waits,
)
from pytest_pgmigrate.checks._sql import qualified
from pytest_pgmigrate.model.evidence import MigrationEvidence
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.model.locks import Mode
from pytest_pgmigrate.model.migration import Statement
from pytest_pgmigrate.model.watch import Lock, Relation, StatementSeen
from pytest_pgmigrate.options import Settings
from pytest_pgmigrate.registry import Observation

SHOWN = 3
"""Tables named in one message; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """The work of one statement on one existing table under one blocking lock."""

    code: str
    item: Watched
    relation: Relation
    lock: Lock
    read: int = 0
    """Rows read by full scans; a rewrite reads them once for itself and once for every index."""

    rewritten: bool = False
    indexes: tuple[Relation, ...] = ()
    """Built or rebuilt on the table."""

    @property
    def rows(self) -> int:
        """Rows of the table before the step, as far as they are known, else what was read."""
        return self.item.evidence.rows_before.get(self.relation.name, self.read)


@dataclass(frozen=True, slots=True)
class Group:
    """All hazards of one statement with one code, that of the table it names first; they are one finding."""

    hazards: tuple[Hazard, ...]
    severity: Severity

    @property
    def first(self) -> Hazard:
        """The one that the finding is about."""
        return self.hazards[0]

    @property
    def statement(self) -> Statement:
        """What did the work."""
        return self.first.item.seen.statement

    @property
    def table(self) -> str:
        """The table as SQL may name it."""
        return table_name(self.first)


# -- what is a hazard ---------------------------------------------------------------------------------------------------


@remembered
def hazards(evidence: MigrationEvidence) -> tuple[Hazard, ...]:
    """Every hazard of the watched up and down, small tables included."""
    return tuple(hazard for item in watched(evidence) for hazard in _of_statement(item))


def claimed(evidence: MigrationEvidence) -> frozenset[tuple[str, int, str]]:
    """Step name, statement index and table of every hazard: what no other check may report again."""
    return frozenset((h.item.step.name, h.item.seen.index, h.relation.name) for h in hazards(evidence))


def _of_statement(item: Watched) -> Iterator[Hazard]:
    seen = item.seen
    if seen.failed or not (seen.counts or seen.rewritten or seen.built or seen.rebuilt):
        return
    for relation in _tables(seen):
        count = seen.count(relation.name)
        lock = blocking_lock(seen, relation)
        if lock is None:
            continue
        work = Hazard(
            "",
            item,
            relation,
            lock,
            count.read if count else 0,
            any(r.name == relation.name for r in seen.rewritten),
            # A partitioned index has no file: only those of its partitions are work.
            tuple(i for i in (*seen.built, *seen.rebuilt) if i.table == relation.name and i.kind == "index"),
        )
        code = _code(work)
        if code:
            yield Hazard(code, item, relation, lock, work.read, work.rewritten, work.indexes)


def _tables(seen: StatementSeen) -> tuple[Relation, ...]:
    """Tables that existed before and that the statement locked, read or rewrote; what it names itself comes first."""
    found = {lock.relation.name: lock.relation for lock in seen.held}
    found.update((count.relation.name, count.relation) for count in seen.counts)
    found.update((relation.name, relation) for relation in seen.rewritten)
    named = [last_part(name) for name in seen.statement.relations]
    order = {name: place for place, name in reversed(list(enumerate(named)))}
    tables = [relation for relation in found.values() if relation.holds_rows and not relation.new]
    return tuple(sorted(tables, key=lambda r: (order.get(last_part(r.name), len(named)), r.name)))


def blocking_lock(seen: StatementSeen, relation: Relation) -> Lock | None:
    """The strongest lock in force on the table that an application has to wait for; None when nobody waits."""
    locks = [lock for lock in seen.held if lock.relation.name == relation.name and _blocks(lock)]
    if locks:
        return max(locks, key=lambda lock: lock.mode)
    if any(r.name == relation.name for r in seen.rewritten):
        # Where nobody could look (an external server): a table gets a new file under no weaker lock.
        return Lock(relation, Mode.ACCESS_EXCLUSIVE, seen.index, "documented")
    moved = [i for i in seen.rebuilt if i.table == relation.name and seen.statement.kind.startswith("ALTER INDEX")]
    if any(lock.mode.blocks_reads for i in moved for lock in seen.held if lock.relation.name == i.name):
        # Every query of the table locks all its indexes while it is planned.
        return Lock(relation, Mode.ACCESS_EXCLUSIVE, seen.index, "documented")
    return None


def _blocks(lock: Lock) -> bool:
    # Nobody but REFRESH writes a materialized view.
    return lock.mode.blocks_reads if lock.relation.kind == "materialized view" else lock.mode.blocks_writes


def table_name(hazard: Hazard) -> str:
    """The hazard's table as SQL takes it."""
    return qualified(hazard.relation.name)


# -- which code ---------------------------------------------------------------------------------------------------------


def _code(work: Hazard) -> str:
    """The one code of this work, "" when it is none."""
    actions = _actions(work.item.seen.statement)
    if work.rewritten:
        return _rewrite_code(work, actions)
    if not work.read and not work.indexes:
        return ""
    if any(action.startswith("AlterColumnType") for action in actions):
        return _type_code(work)
    return _command_code(work) or _action_code(work, actions) or _other_code(work)


def _actions(statement: Statement) -> tuple[str, ...]:
    """The actions of an ALTER TABLE: ``AddColumn (DEFAULT)``, ``SetNotNull``; none for other statements."""
    return tuple(kind.partition(": ")[2] for kind in statement.kinds if kind.startswith("ALTER ") and ": " in kind)


def _rewrite_code(work: Hazard, actions: tuple[str, ...]) -> str:
    if work.relation.kind == "materialized view" and not actions and not _is_maintenance(work.item.seen.statement):
        return "PMG313"
    for action in actions:
        if action.startswith(("AddColumn", "SetExpression")):
            return "PMG305"
        if action.startswith("AlterColumnType"):
            return "PMG306"
    return "PMG307"


def _type_code(work: Hazard) -> str:
    """A type change that rewrote nothing: it may still build indexes anew, or check a CHECK again."""
    # An index that only got a new catalog entry (varchar(50) to varchar(100)) was not read.
    return ("PMG306" if work.indexes else "PMG314") if work.read else ""


def _is_maintenance(statement: Statement) -> bool:
    return statement.kind in ("VACUUM", "cluster_stmt")


def _command_code(work: Hazard) -> str:
    """By commands other than ALTER TABLE."""
    statement = work.item.seen.statement
    kind = statement.kind
    if kind == "CREATE TABLE PARTITION OF":
        return "PMG312"
    if kind == "alter_domain_stmt":
        return "PMG308" if re.search(r"\bSET\s+NOT\s+NULL\b", statement.text, re.IGNORECASE) else "PMG309"
    if kind == "ALTER INDEX: SetTableSpace":
        return "PMG307"
    if not work.indexes:
        return ""
    if kind.startswith("REINDEX"):
        return "PMG303"
    return "" if _actions(statement) else "PMG301"


def _action_code(work: Hazard, actions: tuple[str, ...]) -> str:
    """By actions of an ALTER TABLE that rewrote nothing, those that explain the most first."""
    if "AttachPartition" in actions:
        return "PMG312"
    if work.read and _adds(actions, "FOREIGN"):
        return "PMG310"
    if _adds(actions, "PRIMARY") or _adds(actions, "UNIQUE") or _adds(actions, "EXCLUSION"):
        return "PMG311"
    if work.read and _adds(actions, "CHECK"):
        return "PMG309"
    if work.read and ("SetNotNull" in actions or "AddConstraint NOTNULL" in actions):
        return "PMG308"
    if work.read and "ValidateConstraint" in actions:
        return _validated_code(work)
    return "PMG301" if work.indexes else ""


def _adds(actions: Iterable[str], word: str) -> bool:
    """Whether a constraint of this kind is added and checked at once, by itself or with a column."""
    for action in actions:
        name, _, flags = action.partition(" ")
        if name == "AddConstraint" and flags.startswith(word) and "NOT VALID" not in flags:
            return True
        if name == "AddColumn" and word in flags.strip("()").split("+"):
            return True
    return False


def _validated_code(work: Hazard) -> str:
    """VALIDATE CONSTRAINT under the lock of an earlier statement: by what the same script adds under that name."""
    item = work.item
    names = set(re.findall(r"VALIDATE\s+CONSTRAINT\s+(\"[^\"]+\"|\S+)", item.seen.statement.text, re.IGNORECASE))
    wanted = {last_part(name.rstrip(",;")) for name in names}
    for other in item.step.watched[: item.seen.index + 1]:
        if wanted & {last_part(name) for name in other.statement.creates}:
            for action in _actions(other.statement):
                for word, code in (("FOREIGN", "PMG310"), ("NOTNULL", "PMG308"), ("CHECK", "PMG309")):
                    if action.startswith(f"AddConstraint {word}"):
                        return code
    return "PMG314"


_LOCKS = re.compile(
    r"\b(ALTER\s+TABLE|LOCK|TRUNCATE|DROP|CREATE\s+(UNIQUE\s+)?INDEX|CREATE\s+(\w+\s+)*TRIGGER|REFRESH)\b",
    re.IGNORECASE,
)
_READS = re.compile(
    r"\b(SELECT|PERFORM|UPDATE|DELETE|MERGE|COPY|CHECK|REFERENCES|VALIDATE|EXCLUDE|SET\s+NOT\s+NULL)\b", re.IGNORECASE
)


def _other_code(work: Hazard) -> str:
    """Rows read by anything else: only a full scan, and only when it ran under the lock."""
    seen, kind = work.item.seen, work.item.seen.statement.kind
    if not work.read or kind == "ANALYZE" or 2 * work.read < work.rows or _stays_small(work):
        return ""
    if work.lock.since < seen.index:
        return "" if _is_write(work) or _only_looks_up(work) else "PMG314"
    if seen.stops:
        return ""  # the rows may have been read in one of its transactions, the lock taken in another
    if kind != "do_stmt":
        return "PMG314"
    # Nobody can look between the commands of a DO: its text says whether it reads after it locks.
    locks = _LOCKS.search(seen.statement.text)
    return "PMG314" if locks is None or _READS.search(seen.statement.text, locks.end()) else ""


def _stays_small(work: Hazard) -> bool:
    """Counted at two data sizes, what was read did not grow with the table."""
    if work.item.down:
        return False
    found = [
        s for s in work.item.evidence.scaled if s.index == work.item.seen.index and s.relation == work.relation.name
    ]
    return bool(found) and not any(s.grows for s in found)


def _is_write(work: Hazard) -> bool:
    """Writes to a table that existed before: rows written under a lock are PMG341's."""
    return any(count.written and not count.relation.new for count in work.item.seen.counts)


def _only_looks_up(work: Hazard) -> bool:
    """An INSERT that does not name the table: its foreign keys look up single rows, which small tables scan for."""
    statement = work.item.seen.statement
    if statement.kind not in ("insert_stmt", "CREATE TABLE AS"):
        return False
    name = re.escape(last_part(work.relation.name))
    body = re.sub(r"^\s*INSERT\s+INTO\s+\S+", "", statement.text, flags=re.IGNORECASE)
    return re.search(rf"(?<![\w$]){name}(?![\w$])", body, re.IGNORECASE) is None


# -- what is a finding --------------------------------------------------------------------------------------------------


def found(evidence: MigrationEvidence, settings: Settings, code: str) -> Iterator[Group]:
    """The findings of one code: the statement's hazards on tables that are not known to be small."""
    groups: dict[tuple[str, int], list[Hazard]] = {}
    for hazard in hazards(evidence):
        if hazard.code == code:
            groups.setdefault((hazard.item.step.name, hazard.item.seen.index), []).append(hazard)
    for together in groups.values():
        left = [h for h in together if not _exempt(h, settings)]
        # A foreign key's work is that of the rows it is checked for: few of them, and the other table waits briefly.
        if not left or (code == "PMG310" and left[0] is not together[0]):
            continue
        severity = weigh(left[0].item, settings, left[0].relation.name)
        if severity is not None:
            yield Group(tuple(left), severity)


def _exempt(hazard: Hazard, settings: Settings) -> bool:
    """Known to be small, itself or, of a partition, the whole table."""
    names = (hazard.relation.name, *hazard.relation.parents)
    return any(is_small(hazard.item.evidence, settings, name) for name in names)


def observe(group: Group, doer: str, fix: str, *, effect: str = "", also: Iterable[Lock] = ()) -> Observation:
    """The finding: what ``doer`` did to how many rows under which lock; ``also`` are further tables that wait."""
    first, seen = group.first, group.first.item.seen
    waits = "; ".join([who_waits(_widest(group)), *map(_waits_too, also)])
    return Observation(
        place=seen.statement.place,
        message=f"{doing(group, doer)} {work_phrase(group)} while {lock_phrase(first)}",
        effect=f"{waits}; {effect}" if effect else waits,
        fix=fix,
        observed={**lock_facts(first.item, first.lock), "tables": [h.relation.name for h in group.hazards]},
        details=(*blocked_lines(seen), f"statement: {first_line(seen.statement.text)}"),
        severity=group.severity,
    )


def _widest(group: Group) -> Lock:
    """The lock on the partitioned table that all the tables are partitions of, where it has one; else the first's."""
    shared = set.intersection(*(set(hazard.relation.parents) for hazard in group.hazards))
    seen = group.first.item.seen
    whole = [
        lock for lock in blocking(seen.held) if lock.relation.name in shared and lock.since == group.first.lock.since
    ]
    return whole[0] if whole else group.first.lock


def _waits_too(lock: Lock) -> str:
    return f"so do writes to {short(lock.relation.name)} ({lock.mode.pg})"


def also_locked(group: Group) -> tuple[Lock, ...]:
    """Other existing tables, locked by this statement or by the one that locked the table: writes to them wait as well."""
    seen, mine = group.first.item.seen, group.first
    locks = [lock for lock in blocking(seen.held) if _blocks(lock) and lock.since in (mine.lock.since, seen.index)]
    return tuple(lock for lock in locks if mine.relation.name not in (lock.relation.name, *lock.relation.parents))


def doing(group: Group, usual: str) -> str:
    """Who did it: the command, or the block or function it was hidden in."""
    kind = group.statement.kind
    hidden = {"do_stmt": "this DO block", "call_stmt": "this CALL", "select_stmt": "this SELECT"}
    return hidden.get(kind, usual)


def work_phrase(group: Group) -> str:
    """``read all 20 rows (400,000,000 in production) of users``, further tables counted."""
    parts = [_work_on(hazard) for hazard in group.hazards[:SHOWN]]
    more = len(group.hazards) - SHOWN
    if more > 0:
        parts.append(f"{more} more table{'' if more == 1 else 's'}")
    return f"{_verb(group.first)} " + " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _verb(hazard: Hazard) -> str:
    if hazard.rewritten:
        return "rewrote"
    if hazard.read or not hazard.indexes:
        return "read"
    copied = hazard.item.seen.statement.kind.startswith("ALTER INDEX")
    return "copied an index of" if copied else "built an index of"


def _work_on(hazard: Hazard) -> str:
    name, rows = short(hazard.relation.name), hazard.rows
    if not rows:
        known = known_rows(hazard.item.evidence, hazard.relation.name)
        return f"{name} (empty here{f', {known:,} rows in production' if known is not None else ''})"
    every = "all " if hazard.rewritten or hazard.indexes or hazard.read >= rows else ""
    said = rows_phrase(hazard.item.evidence, hazard.relation.name, rows if every else hazard.read)
    return f"{every}{said} of {name}"


def lock_phrase(hazard: Hazard) -> str:
    """``it held ShareLock``; of a lock of an earlier statement, whose it is."""
    seen, lock = hazard.item.seen, hazard.lock
    if lock.since >= seen.index:
        return f"it held {lock.mode.pg}"
    taker = next((other for other in hazard.item.step.watched if other.index == lock.since), None)
    line = f" of line {taker.statement.place.line}" if taker else ""
    return f"the {lock.mode.pg}{line} was still held"
