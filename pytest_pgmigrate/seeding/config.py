"""Reads the user's seed file (TOML): generators of columns, rows per table, tables to leave alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.seeding.wishes import ColumnRule, Given, Pattern, Rules, name_parts, pattern

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "pgmigrate-seed.toml"
_SECTIONS = ("columns", "rows", "skip", "reference", "from")
_WAYS = ("faker", "sql", "list")
_WORDS = frozenset((*_WAYS, "args", "null_rate"))


def find_seed_file(named: str | None, root: Path, folder: Path) -> Path | None:
    """The file that the user named, else ``pgmigrate-seed.toml`` among the migrations, beside their folder, in the root."""
    if named is not None:
        return root / named
    found = (place / NAME for place in (folder, folder.parent, root))
    return next((path for path in found if path.is_file()), None)


def read_seed_file(path: Path, root: Path) -> Rules:
    """The file's rules. Raises UsageError, with the line where it is known, for a file that cannot be used."""
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--pgmigrate-seed-file: there is no file {shown}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--pgmigrate-seed-file: {shown} cannot be read: {error}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = re.search(r"at line (\d+)", message)
        place = f"{shown}:{line[1]}" if line else shown
        raise UsageError(f"{place}: this is no TOML: {message}") from None
    return _Reader(shown, text).rules(document)


class _Reader:
    """Turns one document into rules; every complaint names the place."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._lines = text.splitlines()
        self._from = 0
        """Lines passed over when a place is looked for: a name of ``[from."…".columns]`` stands below that heading."""

    def rules(self, document: Mapping[str, Any]) -> Rules:
        for key in document:
            if key not in _SECTIONS:
                raise self._wrong(key, f"{key!r} is not known here; there are {', '.join(_SECTIONS)}")
        columns = [*self._columns(self._table(document, "columns"), "")]
        for version, section in self._table(document, "from").items():
            if not re.search(r"[0-9]", version) or not isinstance(section, dict) or set(section) - {"columns"}:
                raise self._wrong(version, f'[from."{version}"] holds [from."<version>".columns] and nothing else')
            self._from = self._heading(version)
            columns += self._columns(self._table(section, "columns"), version)
            self._from = 0
        return Rules(
            self._file,
            self._text,
            tuple(columns),
            tuple(self._rows(self._table(document, "rows"))),
            tuple(self._names(document, "skip")),
            tuple(self._names(document, "reference")),
        )

    def _wrong(self, key: str, message: str) -> UsageError:
        return UsageError(f"{self._place(key)}: {message}")

    def _place(self, key: str) -> str:
        """file:line of the line that names the key; without the line where none does."""
        plain = key.replace('"', "")
        last = plain.rsplit(".", 1)[-1]
        for wanted in (plain, last):
            for number, line in list(enumerate(self._lines, start=1))[self._from :]:
                if wanted in line.replace('"', "").replace("'", "").split("#", 1)[0]:
                    return f"{self._file}:{number}"
        return self._file

    def _heading(self, version: str) -> int:
        """How many lines stand above the heading of a version's section."""
        heads = (number for number, line in enumerate(self._lines) if line.startswith("[") and version in line)
        return next(heads, 0)

    def _table(self, document: Mapping[str, Any], name: str) -> dict[str, Any]:
        found = document.get(name, {})
        if not isinstance(found, dict):
            raise self._wrong(name, f"{name} is a table: write [{name}] and below it one line an entry")
        return found

    def _pattern(self, text: str, size: int) -> Pattern:
        try:
            return pattern(text, self._place(text), size)
        except ValueError:
            form = "table.column or schema.table.column" if size == 2 else "table or schema.table"
            raise self._wrong(text, f"{text!r} is not of the form {form}") from None

    def _names(self, document: Mapping[str, Any], key: str) -> Iterator[Pattern]:
        found = document.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self._wrong(key, f'{key} is a list of tables: {key} = ["audit_log"]')
        for item in found:
            yield self._pattern(item, 1)

    def _rows(self, section: Mapping[str, Any]) -> Iterator[tuple[Pattern, int]]:
        for name, count in _flat(section, 1):
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise self._wrong(name, f"rows of {name} is a number of rows, 0 or more, not {count!r}")
            yield self._pattern(name, 1), count

    def _columns(self, section: Mapping[str, Any], since: str) -> Iterator[ColumnRule]:
        for name, value in _flat(section, 2):
            yield ColumnRule(self._pattern(name, 2), self._given(name, value), since)

    def _given(self, name: str, value: object) -> Given:
        if isinstance(value, str) and value.startswith("faker."):
            value = {"faker": value}
        elif isinstance(value, list):
            value = {"list": value}
        if not isinstance(value, dict) or not value:
            wanted = '"faker.<provider>", a list of values, {sql = "…"}, {faker = "…", args = {…}} or {null_rate = 0.2}'
            raise self._wrong(name, f"{name} is {wanted}, not {value!r}")
        unknown = sorted(set(value) - _WORDS)
        if unknown:
            raise self._wrong(name, f"{name}: {unknown[0]!r} is not known; there are {', '.join(sorted(_WORDS))}")
        if sum(word in value for word in _WAYS) > 1 or ("args" in value and "faker" not in value):
            raise self._wrong(name, f"{name}: give one of {', '.join(_WAYS)}; args belong to faker")
        return Given(
            self._provider(name, value),
            self._arguments(name, value),
            self._sql(name, value),
            self._choices(name, value),
            self._null_rate(name, value),
        )

    def _provider(self, name: str, value: Mapping[str, Any]) -> str:
        word = value.get("faker", "")
        if not isinstance(word, str):
            raise self._wrong(name, f"{name}: faker is the name of a provider, not {word!r}")
        word = word.removeprefix("faker.")
        if "faker" in value and not _is_provider(word):
            raise self._wrong(name, f"{name}: Faker has no provider {word!r}")
        return word

    def _arguments(self, name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        found = value.get("args", {})
        if not isinstance(found, dict):
            raise self._wrong(
                name, f"{name}: args is a table of keyword arguments, {{right_digits = 2}}, not {found!r}"
            )
        return found

    def _sql(self, name: str, value: Mapping[str, Any]) -> str:
        found = value.get("sql", "")
        if not isinstance(found, str) or ("sql" in value and not found.strip()):
            raise self._wrong(name, f"{name}: sql is an SQL expression as a string, not {found!r}")
        return found

    def _choices(self, name: str, value: Mapping[str, Any]) -> tuple[str, ...] | None:
        if "list" not in value:
            return None
        found = value["list"]
        if not isinstance(found, list) or not found:
            raise self._wrong(name, f"{name}: list holds at least one value")
        try:
            return tuple(map(_text, found))
        except TypeError as error:
            raise self._wrong(name, f"{name}: {error}") from None

    def _null_rate(self, name: str, value: Mapping[str, Any]) -> float | None:
        rate = value.get("null_rate")
        if rate is None:
            return None
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise self._wrong(name, f"{name}: null_rate is a share from 0 to 1, not {rate!r}")
        return float(rate)


def _flat(section: Mapping[str, Any], size: int, above: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of the entries; ``users.email = …`` without quotes is a table in a table to TOML, and means the same."""
    for key, value in section.items():
        name = f"{above}.{key}" if above else key
        parts = name_parts(name)
        if isinstance(value, dict) and value and (parts < size or (parts == size and not set(value) & _WORDS)):
            yield from _flat(value, size, name)
        else:
            yield name, value


def _text(value: object) -> str:
    """A value of TOML in the form PostgreSQL reads."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    raise TypeError(f"a list of values holds no list: write an array as PostgreSQL does, '{{a,b}}', not {value!r}")


def _is_provider(name: str) -> bool:
    from pytest_pgmigrate.seeding.given import provider

    return provider(name) is not None
