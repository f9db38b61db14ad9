"""The parts that need no server."""

from __future__ import annotations

import random
import re

import pytest

from pytest_pgmigrate.seeding.catalog import implied_keys
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.hints import like_to_regex, literals, read_hints, tokens
from pytest_pgmigrate.seeding.names import kind_of, pool
from pytest_pgmigrate.seeding.patterns import PatternError, example
from pytest_pgmigrate.seeding.plan import components
from pytest_pgmigrate.seeding.shape import Check, TableName


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{3}-[0-9]{4}$",
        r"^\d{5}(-\d{4})?$",
        r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$",
        "^(?:red|green|bl(?:ue|ack))$",
        "^[^a-y0-9A-Z._ -]{2}$",
        r"^https?://\w+\.example\.(com|org)/?$",
        "^a{2,3}b*c+$",
        "^$",
    ],
)
def test_examples_match_their_pattern(pattern: str) -> None:
    choose = random.Random(5)
    for _ in range(50):
        assert re.fullmatch(pattern, example(pattern, choose.randrange))


def test_posix_classes_and_options() -> None:
    assert re.fullmatch("[A-Z][0-9]{2}", example("^(?x)[[:upper:]][[:digit:]]{2}$", lambda bound: 0))


@pytest.mark.parametrize("pattern", ["[abc", "(ab", "ab)", "a\\", "[[:alpha", "x{2,1,3}"])
def test_unreadable_pattern_is_said(pattern: str) -> None:
    with pytest.raises(PatternError):
        example(pattern, lambda bound: 0)


def test_tokens_drop_casts_and_parentheses() -> None:
    expression = "((status)::text = ANY ((ARRAY['a::b'::character varying, 'it''s'::character varying])::text[]))"
    assert tokens(expression) == ["status", "=", "ANY", "ARRAY", "[", "'a::b'", "'it''s'", "]"]
    assert literals([expression]) == (["a::b", "it's"], [])


def test_hints_of_ranges_choices_and_lengths() -> None:
    checks = [
        Check("a", ("price",), "((price > (0)::numeric) AND (price <= 10.5))"),
        Check("b", ("kind",), "((kind = 'x'::text) OR (kind = 'y'::text))"),
        Check("c", ("code",), "((length(code) >= 3) AND (length(code) < 9))"),
        Check("d", ("n",), "(NOT (n = 4))"),
    ]
    hints = read_hints(checks)
    assert hints["price"].windows == [("0", "10.5")]
    assert hints["kind"].choices == ["x", "y"]
    assert (hints["code"].shortest, hints["code"].longest) == (3, 8)
    assert hints["n"].choices == []


def test_partition_bounds_become_one_window_each() -> None:
    leaves = (
        "((d IS NOT NULL) AND (d >= '2024-01-01'::date) AND (d < '2024-02-01'::date))",
        "((d IS NOT NULL) AND (d >= '2024-02-01'::date) AND (d < '2024-03-01'::date))",
    )
    hints = read_hints([Check("partition bounds", ("d",), " OR ".join(leaves), leaves)])
    assert hints["d"].windows == [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01")]


def test_like_pattern() -> None:
    assert re.fullmatch(like_to_regex(r"a_c\%%"), "abc%tail")
    assert not re.fullmatch(like_to_regex(r"a_c\%%"), "abctail")


def test_components_come_children_last() -> None:
    graph = {1: [2], 2: [3], 3: [2], 4: [1, 4], 5: []}
    assert [sorted(component) for component in components(graph)] == [[2, 3], [1], [4], [5]]


def test_components_of_a_long_chain_need_no_recursion() -> None:
    assert len(components({number: [number + 1] for number in range(5000)} | {5000: []})) == 5001


def test_permuted_positions_differ() -> None:
    stream = Stream(1, "t", "c")
    for size in (2, 7, 64):
        assert {stream.permuted(row, size) for row in range(size)} == set(range(size))


@pytest.mark.parametrize(
    ("column", "table", "kind"),
    [
        ("email_address", "users", "email"),
        ("name", "users", "person"),
        ("name", "products", "product"),
        ("ip_address", "audit", "ip"),
        ("callback_urls", "clients", "url"),
        ("status", "orders", "status"),
        ("xyzzy", "orders", "word"),
    ],
)
def test_kind_by_name(column: str, table: str, kind: str) -> None:
    assert kind_of(column, table).name == kind


def test_every_kind_has_a_pool() -> None:
    from pytest_pgmigrate.seeding.names import _RULES

    for _, kind in _RULES:
        if kind.name != "name":
            found = pool(kind.name, 1)
            assert len(found) == len(set(found)) > 2
            assert all(text.isascii() and text.strip() == text for text in found)


def test_implied_keys_by_name_and_type() -> None:
    names = {
        1: TableName(1, "public", "oidc_clients"),
        2: TableName(2, "public", "companies"),
        3: TableName(3, "s", "x"),
    }
    rows = [
        (2, 1, "client_id", 2950, -1, False, "", "", None, None),
        (1, 1, "company_id", 23, -1, False, "", "", None, None),
        (1, 2, "x_id", 23, -1, False, "", "", None, None),
        (2, 2, "clients_id", 23, -1, False, "", "", None, None),
    ]
    found = implied_keys(names, {1: ("id", 2950), 2: ("id", 23), 3: ("id", 23)}, rows)
    assert {table: [(key.columns, key.parent) for key in keys] for table, keys in found.items()} == {
        2: [(("client_id",), 1)],
        1: [(("company_id",), 2)],
    }
