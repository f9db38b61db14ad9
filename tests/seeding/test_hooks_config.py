"""The seed file itself: which one is taken, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.seeding.config import find_seed_file, read_seed_file
from pytest_pgmigrate.seeding.wishes import Given, Rules


def read(folder: Path, text: str | bytes) -> Rules:
    """The rules of a file with this content."""
    path = folder / "pgmigrate-seed.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_seed_file(path, folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[columns\n", "pgmigrate-seed.toml:1: this is no TOML"),
        ("skip = []\n[columns]\na.b = 1 2\n", "pgmigrate-seed.toml:3: this is no TOML"),
        ("\n[colums]\n", "pgmigrate-seed.toml:2: 'colums' is not known here"),
        ("columns = 3\n", "pgmigrate-seed.toml:1: columns is a table"),
        ("skip = 'x'\n", "pgmigrate-seed.toml:1: skip is a list of tables"),
        ("\nreference = ['a.b.c']\n", "pgmigrate-seed.toml:2: 'a.b.c' is not of the form table or schema.table"),
        ('[columns]\n\n"users" = ["x"]\n', "pgmigrate-seed.toml:3: 'users' is not of the form table.column"),
        ('[columns]\n"a.b.c.d" = ["x"]\n', "pgmigrate-seed.toml:2: 'a.b.c.d' is not of the form"),
        ('[columns]\n# a.b is wrong\n"a.b" = 3\n', "pgmigrate-seed.toml:3: a.b is"),
        ('[columns]\n"a.b" = "company_email"\n', "pgmigrate-seed.toml:2: a.b is"),
        ('[columns]\n"a.b" = []\n', "list holds at least one value"),
        ('[columns]\n"a.b" = [["x"]]\n', "write an array as PostgreSQL does"),
        ('[columns]\n"a.b" = {}\n', "pgmigrate-seed.toml:2: a.b is"),
        ('[columns]\n"a.b" = {lists = ["x"], null_rate = 0}\n', "'lists' is not known"),
        ('[columns]\n"a.b" = {sql = "i", faker = "name"}\n', "give one of faker, sql, list"),
        ('[columns]\n"a.b" = {sql = "i", args = {}}\n', "args belong to faker"),
        ('[columns]\n"a.b" = {sql = ""}\n', "sql is an SQL expression"),
        ('[columns]\n"a.b" = {faker = 3}\n', "faker is the name of a provider"),
        ('[columns]\n"a.b" = {faker = "name", args = 3}\n', "args is a table of keyword arguments"),
        ('[columns]\n"a.b" = {null_rate = 1.5}\n', "null_rate is a share from 0 to 1, not 1.5"),
        ('[columns]\n"a.b" = {null_rate = true}\n', "null_rate is a share from 0 to 1, not True"),
        (
            '[columns]\n"a.b" = "faker.compnay_email"\n',
            "pgmigrate-seed.toml:2: a.b: Faker has no provider 'compnay_email'",
        ),
        ('[columns]\n"a.b" = "faker.seed"\n', "Faker has no provider 'seed'"),
        ('[columns]\n"a.b" = "faker.__class__"\n', "Faker has no provider '__class__'"),
        ('[rows]\norders = "many"\n', "pgmigrate-seed.toml:2: rows of orders is a number of rows, 0 or more"),
        ("[rows]\norders = -1\n", "not -1"),
        ('[from."12"]\nrows = 3\n', 'pgmigrate-seed.toml:1: [from."12"] holds'),
        ('[from.later.columns]\n"a.b" = ["x"]\n', 'pgmigrate-seed.toml:1: [from."later"] holds'),
        (b"\xff\xfe[\x00", "pgmigrate-seed.toml cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert said in str(error.value)


def test_names_with_and_without_quotes_are_the_same(tmp_path: Path) -> None:
    quoted = read(tmp_path, '[columns]\n"users.email" = ["x"]\n"public.users.plan" = {list = ["y"], null_rate = 0.5}\n')
    bare = read(
        tmp_path, '[columns.users]\nemail = ["x"]\n[columns.public]\nusers.plan = {list = ["y"], null_rate = 0.5}\n'
    )
    for rules in (quoted, bare):
        found = {one.pattern.text: one.given for one in rules.columns}
        assert found == {
            "users.email": Given(choices=("x",)),
            "public.users.plan": Given(choices=("y",), null_rate=0.5),
        }
    assert [(one.text, n) for one, n in read(tmp_path, "[rows]\nshop.orders = 5\nusers = 1\n").rows] == [
        ("shop.orders", 5),
        ("users", 1),
    ]


def test_delimited_names_hold_dots_and_quotes(tmp_path: Path) -> None:
    rules = read(tmp_path, '[columns]\n\'"My.Table"."say ""hi"""\' = ["x"]\n')
    assert rules.given("any", "My.Table", 'say "hi"', lambda version: True) == Given(choices=("x",))


def test_values_of_a_list_become_text(tmp_path: Path) -> None:
    rules = read(tmp_path, '[columns]\n"a.b" = [1, 2.5, true, 2024-01-02, {k = [1]}, "{a,b}"]\n')
    assert rules.columns[0].given.choices == ("1", "2.5", "true", "2024-01-02", '{"k": [1]}', "{a,b}")


def test_the_file_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "db" / "migrations"
    folder.mkdir(parents=True)
    assert find_seed_file(None, tmp_path, folder) is None
    for place in (tmp_path, tmp_path / "db", folder):
        path = place / "pgmigrate-seed.toml"
        path.write_text("")
        assert find_seed_file(None, tmp_path, folder) == path, "the nearer one wins"
    assert find_seed_file("other.toml", tmp_path, folder) == tmp_path / "other.toml"
    with pytest.raises(UsageError, match=r"there is no file other\.toml"):
        read_seed_file(tmp_path / "other.toml", tmp_path)


def test_a_name_that_stands_twice_has_the_line_of_its_section(tmp_path: Path) -> None:
    rules = read(tmp_path, '[columns]\n"a.b" = ["x"]\n\n[from."12".columns]\n"a.b" = {null_rate = 0}\n')
    assert [(one.since, one.pattern.place) for one in rules.columns] == [
        ("", "pgmigrate-seed.toml:2"),
        ("12", "pgmigrate-seed.toml:5"),
    ]
