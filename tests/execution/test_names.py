"""Names as written in SQL and as the catalog has them."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.execution.names import parts, plain


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("public.users", ["public", "users"]),
        ('public."Users"', ["public", "Users"]),
        ('"My.Schema"."a ""b"""', ["My.Schema", 'a "b"']),
        ("users", ["users"]),
        ('public.users."Phone"', ["public", "users", "Phone"]),
    ],
)
def test_parts(written: str, expected: list[str]) -> None:
    assert parts(written) == expected
    assert plain(written) == ".".join(expected)
