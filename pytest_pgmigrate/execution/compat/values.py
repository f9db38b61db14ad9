"""Values for what is compared with a column, or is only known by its type."""

from __future__ import annotations

_BY_TYPE = {
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "numeric": "1",
    "real": "1",
    "double precision": "1",
    "text": "text",
    "character varying": "text",
    "character": "t",
    "boolean": "true",
    "date": "2024-01-01",
    "timestamp without time zone": "2024-01-01 12:00:00",
    "timestamp with time zone": "2024-01-01 12:00:00+00",
    "time without time zone": "12:00:00",
    "interval": "1 day",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "json": "{}",
    "jsonb": "{}",
    "inet": "192.0.2.1",
    "bytea": "\\x00",
}


def by_type(name: str) -> str | None:
    """A plain value of a type by its name in format_type(); None (NULL) where none is known."""
    if name.endswith("[]"):
        return "{}"
    return _BY_TYPE.get(name.split("(", 1)[0].strip())
