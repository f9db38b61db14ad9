"""Room 3: fills tables with plausible fake rows.

``FakeSeeder`` is loaded on first use: importing this package loads neither Faker nor psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pgmigrate.seeding.seeder import FakeSeeder

__all__ = ["FakeSeeder"]


def __getattr__(name: str) -> Any:
    if name == "FakeSeeder":
        from pytest_pgmigrate.seeding.seeder import FakeSeeder

        return FakeSeeder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
