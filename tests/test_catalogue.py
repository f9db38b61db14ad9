"""The catalogue: every check has a page, a name that says what is bad, and a pair of examples that can be shown."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from pytest_pgmigrate import catalogue, registry
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.registry import Check
from tests.checks import made

CHECKS = registry.load_checks()
PAIRS = Path(__file__).resolve().parents[1] / "fixtures" / "checks"
SECTIONS = ("Why it matters", "How it is measured", "How to fix", "When to ignore", "References")
every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
every_pair = pytest.mark.parametrize("folder", sorted(PAIRS.glob("PMG*/*/")), ids=lambda f: f"{f.parent.name}-{f.name}")


def _sections(check: Check) -> dict[str, str]:
    """The text of each section of a check's page."""
    found = re.split(rf"^({'|'.join(SECTIONS)}):$", check.documentation, flags=re.MULTILINE)
    return {title: text.strip() for title, text in zip(found[1::2], found[2::2], strict=True)}


@every_check
def test_page_has_all_sections_in_order(check: Check) -> None:
    sections = _sections(check)
    assert tuple(sections) == SECTIONS
    assert all(sections.values()), "a section is empty"
    assert check.documentation.splitlines()[0].endswith("."), "the first line is a sentence"


@every_check
def test_references_are_addresses(check: Check) -> None:
    lines = _sections(check)["References"].splitlines()
    assert all(re.match(r"https://\S+", line) for line in lines)


@every_check
def test_file_is_named_after_code_and_slug(check: Check) -> None:
    file = Path(inspect.getsourcefile(check.function) or "")
    assert file.stem == f"{check.code}_{check.slug}".lower().replace("-", "_")
    assert check.function.__name__ == check.slug.replace("-", "_")


@every_check
def test_slug_names_the_bad_thing(check: Check) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.slug)
    # A name such as require-down or no-orphan-down reads as the rule, "ignore[require-down]" as its opposite.
    assert not re.match(r"(no|not|require|requires|prefer|use|avoid|ensure|valid|safe|check|must)-", check.slug)


def test_codes_and_slugs_are_unique() -> None:
    # load_checks() keeps one check a code, so count what the files define.
    defined = [path.stem.split("_", 1) for path in (Path(catalogue.__file__).parent / "checks").glob("pmg*.py")]
    assert len({code for code, _ in defined}) == len(defined) == len(CHECKS)
    assert len({check.slug for check in CHECKS}) == len(CHECKS)


@every_check
def test_every_check_has_a_pair(check: Check) -> None:
    fixtures = catalogue.fixtures_of(check.code)
    assert set(fixtures) == {"bad", "good"}
    assert all(any(path.name.endswith(".up.sql") for path in files) for files in fixtures.values())


def test_every_pair_has_a_check() -> None:
    assert {path.name for path in PAIRS.glob("PMG*")} == {check.code for check in CHECKS}


@every_pair
def test_pair_is_short_and_says_what_it_shows(folder: Path) -> None:
    files = sorted(folder.glob("*.sql"))
    assert len({re.split(r"[_-]", path.name)[0] for path in files}) <= 3, "more than three versions"
    for path in files:
        first = path.read_text(encoding="utf-8", errors="replace").splitlines()[0]
        assert re.fullmatch(r"-- [A-Z].{15,125}\.", first), f"{path.name}: {first}"


@every_check
def test_good_is_the_bad_one_repaired(check: Check) -> None:
    fixtures = catalogue.fixtures_of(check.code)
    texts = {kind: {path.name: path.read_bytes() for path in files} for kind, files in fixtures.items()}
    assert texts["bad"] != texts["good"]
    comments = {kind: b"".join(files.values()) for kind, files in texts.items()}
    assert b"-- Right: " in comments["good"]
    assert b"-- Wrong: " not in comments["good"]
    if check.severity is not Severity.INFO:
        assert b"-- Wrong: " in comments["bad"]


@every_check
@pytest.mark.parametrize("by", ["code", "slug"])
def test_explain_shows_page_and_pair(check: Check, by: str) -> None:
    text = catalogue.explain(CHECKS, getattr(check, by))
    assert text.startswith(f"{check.code} {check.slug} ({check.severity.value}, part {check.part.value})\n")
    assert check.documentation in text
    for kind, files in catalogue.fixtures_of(check.code).items():
        for path in files:
            assert f"{kind.capitalize()} example, {path.name}:" in text
            comment = path.read_text(encoding="utf-8", errors="replace").splitlines()[0]
            assert f"    {comment}\n" in text


def test_explain_is_not_particular_about_case() -> None:
    assert catalogue.explain(CHECKS, "pmg101") == catalogue.explain(CHECKS, "Missing-Down")


@pytest.mark.parametrize(
    ("word", "hint"), [("PMG10", "PMG101"), ("rerun", "PMG203, PMG204"), ("nonsense", "--pgmigrate-list")]
)
def test_explain_helps_with_a_word_that_means_no_check(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(hint)):
        catalogue.explain(CHECKS, word)


def test_explain_on_the_command_line(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate-explain=missing-down")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "PMG101 missing-down (error, part history)",
            "Why it matters:",
            "Bad example, 000001_create_coupons.up.sql:",
            "    -- Wrong: *",
            "Good example, 000001_create_coupons.down.sql:",
            "    -- Right: *",
        ]
    )
    result.stdout.no_fnmatch_line("*collected*")


def test_explain_of_nothing_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate-explain=PMG999")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no check has the code or slug 'PMG999'*"])


def test_list_shows_checks_and_histories(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("migrations")
    (folder / "000001_create_orders.up.sql").write_text("CREATE TABLE orders ();\n", encoding="utf-8")
    result = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate-list")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["migrations (golang-migrate, 1 migrations)", "  000001_create_orders  [[]no down[]]", f"{len(CHECKS)} checks"]
    )
    shown = {line.split()[0] for line in result.outlines if line.startswith("  PMG")}
    assert shown == {check.code for check in CHECKS} == set(made.CHECKS)
