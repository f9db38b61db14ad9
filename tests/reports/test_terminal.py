"""What a person reads: findings in a few wrapped lines, warnings in the summary, one line by family."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.model.finding import Severity
from pytest_pgmigrate.reports.terminal import (
    REPORT,
    cache_line,
    finding_lines,
    not_judged_lines,
    reason_lines,
    shown,
    summary_line,
)
from tests.reports.documents import document, finding

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


def _lines(width: int = 100, **more: object) -> list[str]:
    return list(finding_lines(document(finding(**more))["findings"][0], width))  # type: ignore[arg-type]


def test_place_comes_first_then_what_was_seen_effect_and_fix() -> None:
    assert _lines(120) == [
        "db/migrations/000002_add_note.up.sql:3:5: PMG402 down-leaves-difference",
        "  the down leaves a difference: index public.idx_orders_placed_at is left",
        "  - index public.idx_orders_placed_at is left",
        "  effect: after a rollback the old release runs on a schema it never had",
        "  fix:    add to 000002_add_note.down.sql: DROP INDEX public.idx_orders_placed_at;",
    ]


@pytest.mark.parametrize(("severity", "note"), [(ERROR, ""), (WARNING, " (warning)"), (INFO, " (info)")])
def test_severity_is_said_unless_it_is_an_error(severity: Severity, note: str) -> None:
    assert _lines(severity=severity)[0].endswith(f"PMG402 down-leaves-difference{note}")


def test_the_reason_of_a_silenced_finding_is_shown() -> None:
    assert _lines(ignored="the index stays")[-1].split() == ["ignored:", "the", "index", "stays"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_are_wrapped_under_their_label(width: int) -> None:
    words = "a fix of many words that goes on and on " * 5
    lines = _lines(width, fix=words.strip())
    fix = lines[next(n for n, line in enumerate(lines) if line.startswith("  fix:")) :]
    assert len(fix) > 1
    assert all(len(line) <= width for line in fix)
    assert all(line.startswith(" " * 10) and line[10] != " " for line in fix[1:])
    assert " ".join(line[10:] for line in fix) == words.strip()


def test_a_narrow_terminal_still_gets_sixty_columns() -> None:
    assert _lines(20) == _lines(60)


def test_names_are_never_broken() -> None:
    name = "public." + "a_very_long_table_name_" * 6
    assert any(name in line for line in _lines(60, message=f"{name} is left"))
    hyphens = "DROP-" * 30 + "INDEX"
    assert any(hyphens in line for line in _lines(60, fix=hyphens))


def test_an_empty_text_leaves_its_label() -> None:
    assert "  effect:" in [line.rstrip() for line in _lines(effect="")]


def test_summary_counts_by_family() -> None:
    made_of = document(
        finding("PMG402"),
        finding("PMG403"),
        finding("PMG405", WARNING),
        finding("PMG104", WARNING),
        finding("PMG201"),
        finding("PMG204", INFO),
        finding("PMG401", ignored="agreed"),
    )
    assert summary_line(made_of) == "history 1 warning · applying 1 error · rollback 2 errors, 1 warning"


def test_summary_of_nothing() -> None:
    assert summary_line(document()) == "no errors, no warnings"
    assert summary_line(document(finding("PMG204", INFO), finding(ignored="agreed"))) == "no errors, no warnings"


def test_summary_knows_every_family_that_has_checks() -> None:
    from pytest_pgmigrate.reports.terminal import FAMILIES
    from tests.checks import made

    for code in made.CHECKS:
        assert summary_line(document(finding(code))) == f"{FAMILIES[code[3]]} 1 error"


def test_summary_does_not_lose_a_check_of_ones_own() -> None:
    # Codes of other plugins need not be PMG and three digits.
    assert "1 error" in summary_line(document(finding("SHOP01")))


def test_shown_are_warnings_and_on_request_the_rest() -> None:
    made_of = document(
        finding("PMG402"), finding("PMG405", WARNING), finding("PMG204", INFO), finding("PMG403", ignored="agreed")
    )
    assert [f["code"] for f in shown(made_of, verbose=False)] == ["PMG405"]
    assert [f["code"] for f in shown(made_of, verbose=True)] == ["PMG405", "PMG204"]
    silenced = document(finding("PMG405", WARNING, ignored="agreed"))
    assert shown(silenced, verbose=False) == []
    assert shown(silenced, verbose=True) == []
    [line] = reason_lines(silenced)
    assert line.startswith("ignored: ")


def test_not_judged_is_grouped_by_reason() -> None:
    items = [
        {"subject": "replica", "reason": "none was given", "migration": "000001_a", "part": "replica"},
        {"subject": "replica", "reason": "none was given", "migration": "000002_b", "part": "replica"},
        {"subject": "table public.t", "reason": "0 of 20 rows", "migration": "", "part": ""},
        {"subject": "server", "reason": "no superuser", "migration": "000003_c", "part": ""},
    ]
    assert list(not_judged_lines(items)) == [
        "replica (2 migrations): none was given",
        "table public.t: 0 of 20 rows",
        "server (000003_c): no superuser",
    ]


def test_text_report_holds_everything() -> None:
    text = REPORT.render(document(finding(), finding("PMG204", INFO)))
    assert "PMG402 down-leaves-difference\n" in text
    assert "PMG204" in text
    assert "not judged: replica (000002_add_note): no replica was given\n" in text
    assert text.endswith("\nrollback 1 error\n")


@pytest.mark.parametrize(
    ("versions", "rows", "line"),
    [
        (None, 20, ""),
        (("000001", "000029"), 20, "from the cache: 000001\u2013000029 applied and filled"),
        (("000001", "000001"), 0, "from the cache: 000001 applied"),
    ],
)
def test_what_came_from_the_cache_is_said(versions: tuple[str, str] | None, rows: int, line: str) -> None:
    assert cache_line(document(from_cache=versions, rows=rows)) == line
