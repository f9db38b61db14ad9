"""pytest's door: flags, ini keys and the marker. Everything else is imported only under ``--pgmigrate``.

https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pgmigrate import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_pgmigrate.fixture import PgMigrate
    from pytest_pgmigrate.fixture.capture import Capture
    from pytest_pgmigrate.options import Option


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flags and ini keys of the options table."""
    group = parser.getgroup("pgmigrate", "PostgreSQL migration safety")
    group.addoption(
        "--pgmigrate",
        action="store_true",
        default=False,
        help="Run the PostgreSQL migrations up, down and up again on a real primary and replica",
    )
    for option in options.OPTIONS:
        _add(parser, group, option)


def _add(parser: pytest.Parser, group: pytest.OptionGroup, option: Option) -> None:
    if option.kind == "flag":
        group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
    else:
        shown = "" if option.default in (None, ()) else f" (default: {option.default})"
        action = "append" if option.kind == "list" else "store"
        text = option.help.replace("%", "%%") + shown
        group.addoption(option.flag, dest=option.dest, action=action, default=None, metavar=option.metavar, help=text)
    if option.ini:
        kind = {"flag": "bool", "list": "args"}.get(option.kind, "string")
        # Without a value given the key must read as "not given": False is a value for a flag.
        parser.addini(option.key, option.help, type=kind, default=None)  # type: ignore[arg-type]


def pytest_load_initial_conftests(args: list[str]) -> None:
    """Name the flag that is nearest to a mistyped one of ours, where pytest would only refuse it. Raises UsageError."""
    known = {option.flag for option in options.OPTIONS} | {"--pgmigrate"}
    given = args[: args.index("--")] if "--" in args else args
    for flag in (word.partition("=")[0] for word in given if word.startswith("--pgmig")):
        if flag not in known:
            from difflib import get_close_matches

            # What all of them begin with would make any two alike.
            names = {name.removeprefix("--pgmigrate-"): name for name in known}
            for near in get_close_matches(flag.removeprefix("--pgmigrate-"), names, n=1):
                raise pytest.UsageError(f"there is no option {flag}; did you mean {names[near]}?")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """The hooks that a conftest.py may implement."""
    from pytest_pgmigrate import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; under ``--pgmigrate`` the rest of the plugin."""
    config.addinivalue_line("markers", "pgmigrate: one part of one migration's examination (pytest-pgmigrate)")
    config.addinivalue_line("markers", "pgmigrate_history(folder): the history that the fixture pgmigrate works on")
    if config.getoption("pgmigrate"):
        from pytest_pgmigrate import collection

        collection.register(config)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--pgmigrate-explain`` and ``--pgmigrate-list`` and stop; they work without ``--pgmigrate`` too."""
    if config.getoption("pgmigrate_explain") is None and not config.getoption("pgmigrate_list"):
        return None
    from pytest_pgmigrate import collection

    return collection.answer(config)


@pytest.fixture
def pgmigrate(request: pytest.FixtureRequest) -> Iterator[PgMigrate]:
    """A database of the test's own on the history of migrations, with a streaming replica; works without --pgmigrate.

    https://docs.pytest.org/en/stable/how-to/fixtures.html
    """
    from pytest_pgmigrate import lending

    with lending.lend(request.config, request.node.get_closest_marker("pgmigrate_history")) as lent:
        yield lent


@pytest.fixture(scope="session")
def pgmigrate_capture() -> Callable[[str, str], Capture]:
    """The queries that tests send, kept as a file for ``pgmigrate_queries``: a context manager of a DSN and a path."""
    from pytest_pgmigrate.fixture.capture import Capture

    return Capture


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Two snapshots of the fixture that differ: what differs, object by object and row by row."""
    # Asked by name, so that a run without snapshots imports nothing.
    if op != "==" or type(left).__module__ != "pytest_pgmigrate.fixture.snapshot":
        return None
    from pytest_pgmigrate.fixture.snapshot import Snapshot, explain

    return explain(left, right) if isinstance(left, Snapshot) and isinstance(right, Snapshot) else None
