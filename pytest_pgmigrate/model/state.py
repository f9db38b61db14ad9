"""A state: schema + data + sequences at one moment, as plain data; and how two states differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Attributes = Mapping[str, object]


class ObjectKey(NamedTuple):
    """One catalog object by kind and qualified name.

    ``kind`` is PostgreSQL's word in lower case (``table``, ``column``, ``index``, ``constraint``, ``view``,
    ``function``, ``trigger``, ``type``, ``sequence``, ``schema``, ``policy``, ``extension``, …); ``name`` is what a
    person would write: ``public.users``, ``public.users.phone``, ``public.users users_pkey``; ``relation`` is the
    qualified table, view or sequence it belongs to, or ``""``.
    """

    kind: str
    name: str
    relation: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class TableDigest:
    """Order-independent, type-exact digest of a table's rows.

    ``columns`` maps a column to the sum of its values' hashes keyed by the row's primary key (without one: by
    nothing, and ``keyed`` is False); ``rows`` is the digest of the keys, or of whole rows without a key.
    """

    count: int
    rows: int
    columns: Mapping[str, int] = field(default_factory=dict)
    keyed: bool = True


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """``last_value`` and ``is_called`` of one sequence."""

    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True)
class State:
    """Everything a migration may change and must give back.

    ``objects`` is the catalog; ``tables`` the digests by qualified name; ``sequences`` by qualified name; ``roles``
    what all databases share (roles, memberships, settings), attributes by role name; ``unreadable`` the tables that
    could not be hashed, with the reason.
    """

    objects: Mapping[ObjectKey, Attributes]
    tables: Mapping[str, TableDigest]
    sequences: Mapping[str, SequenceValue]
    roles: Mapping[str, Attributes] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that differs. ``change`` is ``missing``, ``extra`` or ``changed`` (then ``attribute``, ``old``, ``new``)."""

    key: ObjectKey
    change: str
    attribute: str = ""
    old: object = None
    new: object = None

    def __str__(self) -> str:
        if self.change != "changed":
            return f"{self.key}: {self.change}"
        return f"{self.key}: {self.attribute} is {self.new!r}, was {self.old!r}"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs. ``key`` maps key columns to text; ``change`` is ``missing``, ``extra`` or ``changed``.

    ``values`` maps a differing column to ``(old, new)`` as text, None for NULL.
    """

    key: Mapping[str, str | None]
    change: str
    values: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableChange:
    """A table whose rows differ: counts, columns that differ, and at most five rows shown."""

    table: str
    old_count: int
    new_count: int
    columns: tuple[str, ...] = ()
    rows: tuple[RowChange, ...] = ()
    lost_columns: tuple[str, ...] = ()
    """Columns that held values before and hold none now (dropped and added again, or reset)."""

    key: tuple[str, ...] = ()
    """The primary key, when both states have the same one."""

    by_column: Mapping[str, int] = field(default_factory=dict)
    """In how many of the rows that were looked at a column differs."""

    by_change: Mapping[str, int] = field(default_factory=dict)
    """How many of the rows that were looked at are ``missing``, ``extra`` or ``changed``."""

    all_looked_at: bool = True
    """False when there are so many differing rows that only the first ones were looked at."""


@dataclass(frozen=True, slots=True)
class SequenceChange:
    """A sequence that stands elsewhere than before."""

    name: str
    old: SequenceValue | None
    new: SequenceValue | None

    @property
    def forward(self) -> bool:
        """Moved forward only: what every rolled back insert leaves behind, and harmless."""
        if self.old is None or self.new is None:
            return False
        return (self.new.last_value, self.new.is_called) > (self.old.last_value, self.old.is_called)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two states compared, the first one being what should be."""

    objects: tuple[ObjectChange, ...] = ()
    tables: tuple[TableChange, ...] = ()
    sequences: tuple[SequenceChange, ...] = ()
    roles: tuple[ObjectChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.objects or self.tables or self.roles or any(not s.forward for s in self.sequences))

    @property
    def only_column_order(self) -> bool:
        """True when nothing differs but the position of columns."""
        return bool(self.objects) and not (
            self.tables
            or self.roles
            or any(not s.forward for s in self.sequences)
            or any(change.attribute != "position" for change in self.objects)
        )
