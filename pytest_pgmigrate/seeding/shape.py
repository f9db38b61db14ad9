"""The shape of the tables to fill, as read from the system catalogs: plain data for this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_pgmigrate.seeding.wishes import Given

Row = dict[str, "str | None"]
"""One row: column name to the value's text form, None for NULL."""


def quote_identifier(name: str) -> str:
    """``name`` as a delimited identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str | None) -> str:
    """``value`` as a string constant; relies on standard_conforming_strings being on."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """One row of pg_type with what generating a value of it needs. ``text`` casts to it without any length limit."""

    oid: int
    name: str
    kind: str
    """typtype: b base, c composite, d domain, e enum, r range, m multirange."""

    category: str
    base: int
    typmod: int
    not_null: bool
    element: int
    """Element type of an array, subtype of a range, range of a multirange; else 0."""

    text: str
    labels: tuple[str, ...] = ()
    attributes: tuple[tuple[int, int], ...] = ()
    """Type and typmod of each attribute of a composite type."""

    checks: tuple[str, ...] = ()
    """CHECK expressions of a domain, about ``VALUE``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, its domain already resolved to the base type."""

    name: str
    number: int
    type: TypeInfo
    typmod: int
    not_null: bool
    identity: str = ""
    generated: str = ""
    default: str | None = None
    sequence: str | None = None
    """The sequence its default or identity draws from, as a quoted name."""

    @property
    def quoted(self) -> str:
        """The column as a delimited identifier."""
        return quote_identifier(self.name)

    @property
    def length(self) -> int | None:
        """The n of varchar(n), char(n), bit(n) and bit varying(n)."""
        if self.type.name in ("varchar", "bpchar"):
            return self.typmod - 4 if self.typmod > 4 else None
        return self.typmod if self.type.name in ("bit", "varbit") and self.typmod > 0 else None


@dataclass(frozen=True, slots=True)
class Check:
    """A condition every row must meet: a CHECK constraint, a domain's, or the partition bounds."""

    name: str
    columns: tuple[str, ...]
    expression: str
    alternatives: tuple[str, ...] = ()
    """For partition bounds: the condition of each partition."""


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index or exclusion constraint; ``columns`` are those it is about, expressions resolved to them."""

    name: str
    columns: tuple[str, ...]
    partial: bool = False
    deferrable: bool = False
    primary: bool = False
    exclusion: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key; ``pairs`` are (column, referenced column)."""

    name: str
    parent: int
    pairs: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The referencing columns."""
        return tuple(column for column, _ in self.pairs)

    @property
    def referenced(self) -> tuple[str, ...]:
        """The referenced columns."""
        return tuple(column for _, column in self.pairs)


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by oid and name, with its foreign keys: all that ordering and looking up parents needs."""

    oid: int
    schema: str
    name: str
    partitioned: bool = False
    foreign_keys: tuple[ForeignKey, ...] = ()
    implied: tuple[ForeignKey, ...] = ()
    """References that only a column's name tells of (``user_id`` beside a table ``users``): a migration may be about
    to declare them."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """The qualified name as SQL."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def only(self) -> str:
        """The name for FROM: a foreign key sees a table's own rows, not those of tables that inherit from it."""
        return self.quoted if self.partitioned else f"ONLY {self.quoted}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table to fill."""

    ident: TableName
    columns: tuple[Column, ...]
    checks: tuple[Check, ...] = ()
    uniques: tuple[Unique, ...] = ()
    partitions: int | None = None
    """Number of leaf partitions; None for an ordinary table."""

    by_name: Mapping[str, Column] = field(default_factory=dict)
    given: Mapping[str, Given] = field(default_factory=dict)
    """What the user says of columns, by their name."""

    rows: int | None = None
    """Rows the user wants in it."""

    factory: Callable[[int, int], Sequence[Row]] | None = None
    """The user's own rows: (rows wanted, rows there are) to some of their columns."""

    @property
    def generated_by_user(self) -> frozenset[str]:
        """Columns whose values are the user's: nothing may put others in their place."""
        return frozenset(name for name, given in self.given.items() if given.generates)

    @property
    def key(self) -> tuple[str, ...]:
        """Primary key columns, or ()."""
        return next((unique.columns for unique in self.uniques if unique.primary), ())


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every table by oid, the details of those to fill, and the types they use."""

    names: Mapping[int, TableName]
    tables: Mapping[int, Table]
    types: Mapping[int, TypeInfo]
