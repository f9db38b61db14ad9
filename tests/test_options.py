"""Settings: where they come from, which wins, and what is said about values that cannot be used."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.options import OPTIONS, Settings, resolve

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "options.md"
BY_NAME = {option.name: option for option in OPTIONS}

# Shows the settings in force: called under --pgmigrate, before anything is started.
CONFTEST = """
import dataclasses, json, pathlib

def pytest_pgmigrate_make_seeder(settings):
    pathlib.Path("settings.json").write_text(json.dumps(dataclasses.asdict(settings)))
"""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        if option.environment:
            monkeypatch.delenv(option.environment, raising=False)


def settings_in_force(pytester: pytest.Pytester, *arguments: str) -> dict[str, object]:
    """The settings of a pytest run with these arguments."""
    pytester.makeconftest(CONFTEST)
    pytester.runpytest_inprocess("-p", "no:faker", "--pgmigrate", "--collect-only", *arguments)
    found: dict[str, object] = json.loads((pytester.path / "settings.json").read_text())
    return found


def refusal(pytester: pytest.Pytester, *arguments: str) -> str:
    """What a run says that pytest ends as a usage error."""
    result = pytester.runpytest_inprocess("-p", "no:faker", "--pgmigrate", "--collect-only", *arguments)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


# -- the table ------------------------------------------------------------------------------------------------------------


def test_every_option_has_its_field_with_the_same_default() -> None:
    assert {f.name: f.default for f in dataclasses.fields(Settings)} == {o.name: o.default for o in OPTIONS}
    assert resolve({}, {}, {}) == Settings()


@pytest.mark.parametrize("name", BY_NAME)
def test_every_option_is_on_the_page(name: str) -> None:
    option = BY_NAME[name]
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{option.flag}"))
    assert re.match(rf"\| `{option.flag}[=`]", row)
    assert (f"| `{option.key}` |" in row) is option.ini
    if option.environment:
        assert option.environment in row


def test_every_option_is_in_the_help(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_inprocess("-p", "no:faker", "--help").stdout.str()
    for option in OPTIONS:
        assert option.flag in text
        assert not option.ini or option.key in text


# -- precedence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "ini", "environment", "expected"),
    [
        ("a", "b", "c", "a"),
        (None, "b", "c", "b"),
        (None, None, "c", "c"),
        (None, None, None, None),
        # An empty ini key is how a person leaves it out.
        (None, "", "c", "c"),
    ],
)
def test_flag_then_ini_then_environment_then_default(
    flag: str | None, ini: str | None, environment: str | None, expected: str | None
) -> None:
    given = {"PGMIGRATE_DSN": environment} if environment else {}
    assert resolve({"pgmigrate_dsn": flag}, {"pgmigrate_dsn": ini}, given).dsn == expected


@pytest.mark.parametrize(("flag", "ini", "expected"), [("0", "7", 0), (None, "0", 0), (None, None, 20), ("5", "0", 5)])
def test_zero_is_a_value(flag: str | None, ini: str | None, expected: int) -> None:
    assert resolve({"pgmigrate_rows": flag}, {"pgmigrate_rows": ini}, {}).rows == expected


def test_an_empty_flag_wins_over_the_ini_key() -> None:
    assert resolve({"pgmigrate_since": ""}, {"pgmigrate_since": "origin/main"}, {}).since is None
    assert resolve({"pgmigrate_rows": ""}, {"pgmigrate_rows": "7"}, {}).rows == Settings().rows


def test_a_repeatable_flag_replaces_the_ini_list() -> None:
    settings = resolve({"pgmigrate_path": ["a", "b"]}, {"pgmigrate_path": ["c"]}, {})
    assert settings.path == ("a", "b")
    assert resolve({"pgmigrate_path": None}, {"pgmigrate_path": ["c"]}, {}).path == ("c",)


def test_codes_may_be_parted_by_commas() -> None:
    assert resolve({"pgmigrate_select": ["PMG1,PMG402", "PMG9"]}, {}, {}).select == ("PMG1", "PMG402", "PMG9")


@pytest.mark.parametrize(("ini", "expected"), [(True, True), (False, False), (None, False)])
def test_a_flag_without_value_can_stand_in_the_ini_file(ini: bool | None, expected: bool) -> None:
    assert resolve({"pgmigrate_strict": None}, {"pgmigrate_strict": ini}, {}).strict is expected
    assert resolve({"pgmigrate_strict": True}, {"pgmigrate_strict": ini}, {}).strict is True


# -- through pytest -------------------------------------------------------------------------------------------------------

TABLES = [
    pytest.param(
        "pyproject.toml",
        '[tool.pytest.ini_options]\npgmigrate_rows = "7"\npgmigrate_strict = true\npgmigrate_ignore = ["PMG104", "PMG9"]\n',
        id="ini_options",
    ),
    pytest.param(
        "pyproject.toml",
        '[tool.pytest]\npgmigrate_rows = "7"\npgmigrate_strict = true\npgmigrate_ignore = ["PMG104", "PMG9"]\n',
        id="tool.pytest",
        marks=pytest.mark.skipif(pytest.version_tuple < (9,), reason="[tool.pytest] came with pytest 9"),
    ),
    pytest.param(
        "pytest.ini",
        "[pytest]\npgmigrate_rows = 7\npgmigrate_strict = true\npgmigrate_ignore = PMG104 PMG9\n",
        id="ini",
    ),
]


@pytest.mark.parametrize(("file", "text"), TABLES)
def test_configuration_files(pytester: pytest.Pytester, file: str, text: str) -> None:
    (pytester.path / file).write_text(text)
    found = settings_in_force(pytester)
    assert (found["rows"], found["strict"], found["ignore"]) == (7, True, ["PMG104", "PMG9"])
    assert found["seed"] == 0


@pytest.mark.parametrize(("file", "text"), TABLES)
def test_override_and_flag_beat_the_file(pytester: pytest.Pytester, file: str, text: str) -> None:
    (pytester.path / file).write_text(text)
    arguments = ("-o", "pgmigrate_rows=0", "-o", "pgmigrate_strict=false", "--pgmigrate-ignore=PMG2")
    found = settings_in_force(pytester, *arguments)
    assert (found["rows"], found["strict"], found["ignore"]) == (0, False, ["PMG2"])
    assert settings_in_force(pytester, "-o", "pgmigrate_rows=0", "--pgmigrate-rows=3")["rows"] == 3


def test_environment_reaches_the_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGMIGRATE_REPLICA_DSN", "host=here")
    assert settings_in_force(pytester)["replica_dsn"] == "host=here"
    assert settings_in_force(pytester, "--pgmigrate-replica-dsn=host=there")["replica_dsn"] == "host=there"


# -- values that cannot be used -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--pgmigrate-rows=many", ("--pgmigrate-rows", "number", "many")),
        ("--pgmigrate-rows=-1", ("--pgmigrate-rows", "0 or more", "-1")),
        ("--pgmigrate-rows=1.5", ("--pgmigrate-rows", "number", "1.5")),
        ("--pgmigrate-lock-timeout=soon", ("--pgmigrate-lock-timeout", "number", "soon")),
        ("--pgmigrate-lock-timeout=nan", ("--pgmigrate-lock-timeout", "nan")),
        ("--pgmigrate-pg-version=9", ("--pgmigrate-pg-version", "14 to 18", "9")),
        ("--pgmigrate-containers=3", ("--pgmigrate-containers", "1, 2", "3")),
        ("--pgmigrate-select=PMG777", ("PMG777", "--pgmigrate-list")),
        ("--pgmigrate-ignore=no-such-slug", ("no-such-slug", "--pgmigrate-list")),
        ("--pgmigrate-report=pdf:x.pdf", ("pdf", "json", "text")),
        ("--pgmigrate-report=json:", ("json:", "file name")),
        ("--pgmigrate-path=nowhere", ("nowhere", "does not exist")),
        ("--pgmigrate-ledger=nowhere.csv", ("nowhere.csv", "no file")),
        ("--pgmigrate-since=nowhere", ("nowhere",)),
        ("--pgmigrate-engine=oracle", ("oracle", "auto", "docker", "embedded", "external", "local")),
        ("--pgmigrate-rwos=3", ("--pgmigrate-rwos",)),
        ("--pgmigrate-explain=PMG777", ("PMG777", "--pgmigrate-list")),
    ],
)
def test_bad_values_say_what_is_accepted(pytester: pytest.Pytester, argument: str, words: tuple[str, ...]) -> None:
    folder = pytester.mkdir("migrations")
    (folder / "000001_a.up.sql").write_text("CREATE TABLE a (id int);")
    text = refusal(pytester, argument)
    for word in words:
        assert word in text


def test_a_bad_ini_value_is_named_as_well(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npgmigrate_rows = many\n")
    assert "many" in refusal(pytester)


def test_a_bad_switch_in_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npgmigrate_strict = perhaps\n")
    assert "perhaps" in refusal(pytester)


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "-0.5"])
def test_time_outs_are_finite(value: str) -> None:
    with pytest.raises(UsageError, match="lock-timeout"):
        resolve({"pgmigrate_lock_timeout": value}, {}, {})
