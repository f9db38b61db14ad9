"""Directives applied to findings, directives that silence nothing, and how a part comes out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_pgmigrate.checks import _judge as judge
from pytest_pgmigrate.model.evidence import LaterRows, LostRows, MigrationEvidence, ReplicaEvidence
from pytest_pgmigrate.model.finding import Finding, Part, Severity
from pytest_pgmigrate.model.judgement import Judgement
from pytest_pgmigrate.model.migration import Direction, Directive
from pytest_pgmigrate.model.state import Difference, TableChange
from pytest_pgmigrate.options import Settings
from tests.checks import made

ADD = made.said("ALTER TABLE orders\n    ADD COLUMN coupon TEXT", 2, relations=["orders"], creates=["orders.coupon"])
INDEX = made.said("CREATE INDEX idx_placed ON orders (placed_at)", 4, creates=["idx_placed"])
LEFT = (
    made.extra("column", "public.orders.coupon", "public.orders"),
    made.extra("index", "public.idx_placed", "public.orders"),
)


def _evidence(
    *directives: Directive, down: tuple[Directive, ...] = (), left: tuple[object, ...] = LEFT
) -> MigrationEvidence:
    up = made.script("000002_add_coupon.up.sql", ADD, INDEX, directives=directives)
    back = made.script("000002_add_coupon.down.sql", made.said("SELECT 1"), directives=down)
    step = made.step(Direction.DOWN, difference=Difference(left))  # type: ignore[arg-type]
    return made.clean(made.migration(name="add_coupon", up=up, down=back), down=step)


def _judged(evidence: MigrationEvidence, *, all_selected: bool = True) -> list[tuple[str, int, str | None]]:
    checks = tuple(made.CHECKS.values())
    found = judge.judge_migration(checks, evidence, Settings(), all_selected=all_selected)
    return [(f.code, f.place.line, f.ignored) for f in found if f.code != "PMG409"]


BOTH = [("PMG402", 2, None), ("PMG402", 4, None)]


def test_without_a_directive_both_are_loud() -> None:
    assert _judged(_evidence()) == BOTH


@pytest.mark.parametrize("code", ["PMG402", "pmg402", "down-leaves-difference"])
@pytest.mark.parametrize(("statement", "line"), [(0, 2), (1, 4)])
def test_ignore_silences_one_statement(code: str, statement: int, line: int) -> None:
    found = _judged(_evidence(made.directive("ignore", code, reason="the index stays", statement=statement)))
    assert found == [(c, at, "the index stays" if at == line else None) for c, at, _ in BOTH]


def test_ignore_file_silences_all_of_the_file() -> None:
    found = _judged(_evidence(made.directive("ignore-file", "PMG402", reason="agreed")))
    assert found == [("PMG402", 2, "agreed"), ("PMG402", 4, "agreed")]


def test_ignore_of_another_code_silences_nothing_and_is_unused() -> None:
    found = _judged(_evidence(made.directive("ignore-file", "PMG401", "PMG403")))
    assert found == [*BOTH, ("PMG901", 1, None)]


def test_a_directive_in_the_other_file_silences_nothing() -> None:
    found = _judged(_evidence(down=(made.directive("ignore-file", "PMG402"),)))
    assert found == [*BOTH, ("PMG901", 1, None)]


def test_a_finding_within_a_statement_of_several_lines_is_covered() -> None:
    evidence = _evidence(made.directive("ignore", "PMG201", reason="known", statement=0))
    place = replace(evidence.migration.up.statements[0].place, line=3, column=9)
    problem = replace(made.error("42704", 'type "txt" does not exist'), place=place)
    failed = made.failed(evidence.migration, problem)
    assert _judged(failed) == [("PMG201", 3, "known")]


def test_a_finding_about_the_whole_file_is_covered_above_the_first_statement() -> None:
    blank = made.script("000002_add_coupon.down.sql", directives=[made.directive("ignore", "PMG404", reason="later")])
    evidence = made.clean(made.migration(name="add_coupon", down=blank), down=None, again=None)
    assert _judged(evidence) == [("PMG404", 1, "later")]
    up = made.script(
        "000002_add_coupon.up.sql",
        ADD,
        INDEX,
        directives=[made.directive("ignore", "PMG501", statement=0, reason="so")],
    )
    replica = ReplicaEvidence(True, True, 0.1, Difference(tables=(TableChange("public.orders", 20, 0),)))
    whole = made.clean(made.migration(name="add_coupon", up=up), replica=replica)
    assert _judged(whole) == [("PMG501", 1, "so")]


def test_the_first_finding_of_a_history_can_be_silenced() -> None:
    up = made.script(
        "000002_x.up.sql", ADD, directives=[made.directive("ignore-file", "missing-down", reason="seed data")]
    )
    history = made.history(made.migration(name="x", up=up, down=None))
    found = judge.judge_history(made.CHECKS.values(), history, Settings())
    assert [(f.code, f.ignored) for f in found] == [("PMG101", "seed data")]


def test_unused_directive_can_itself_be_silenced() -> None:
    evidence = _evidence(
        made.directive("ignore-file", "PMG403", line=1),
        made.directive("ignore-file", "PMG901", reason="for 14"),
        left=(),
    )
    found = _judged(evidence)
    assert ("PMG901", 1, "for 14") in found


def test_unused_directive_is_not_said_of_a_selection_or_of_a_failure() -> None:
    evidence = _evidence(made.directive("ignore-file", "PMG403"), left=())
    assert _judged(evidence) == [("PMG901", 1, None)]
    assert _judged(evidence, all_selected=False) == []
    failed = made.failed(evidence.migration, made.error("42601", "syntax error", INDEX))
    assert "PMG901" not in {code for code, _, _ in _judged(failed)}


@pytest.mark.parametrize(("names", "unused"), [((), False), (("orders.coupon",), False), (("customers",), True)])
def test_unused_declaration(names: tuple[str, ...], unused: bool) -> None:
    declared = _evidence(made.directive("irreversible", *names, line=7))
    assert (("PMG901", 7, None) in _judged(declared)) is unused


def test_a_declaration_is_used_by_lost_rows() -> None:
    declared = _evidence(made.directive("irreversible", "customers", line=7), left=())
    assert ("PMG901", 7, None) in _judged(declared)
    lost = LaterRows(True, 3, lost=(LostRows("public.customers", "later", 3, 3, 0),))
    assert _judged(replace(declared, later=lost)) == []


def test_words_that_are_no_silence_are_never_unused() -> None:
    directives = [made.directive(word) for word in ("no-transaction", "contract", "verify")]
    judged = Judgement(_evidence(*directives, left=()), (), True)
    assert list(made.CHECKS["PMG901"].function(judged, Settings())) == []


# -- how a part comes out ---------------------------------------------------------------------------------------------


def _finding(severity: Severity, part: Part = Part.APPLY, ignored: str | None = None) -> Finding:
    made_one = made.only("PMG409", _evidence(made.directive("irreversible")))
    return replace(made_one, severity=severity, part=part, ignored=ignored)


def test_an_error_fails_its_part_and_no_other() -> None:
    found = (_finding(Severity.ERROR),)
    assert judge.verdict(Part.APPLY, made.clean(), found).outcome == "failed"
    assert judge.verdict(Part.APPLY, made.clean(), found).findings == found
    assert judge.verdict(Part.RERUN, made.clean(), found).outcome == "passed"


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.INFO])
def test_a_warning_fails_nothing(severity: Severity) -> None:
    assert judge.verdict(Part.APPLY, made.clean(), [_finding(severity)]).outcome == "passed"


def test_a_silenced_error_fails_nothing() -> None:
    verdict = judge.verdict(Part.APPLY, made.clean(), [_finding(Severity.ERROR, ignored="agreed")])
    assert (verdict.outcome, verdict.findings) == ("passed", ())


NOTE = made.migration()
DECLARED = replace(
    made.migration(down=None),
    up=made.script("000002_add_note.up.sql", directives=[made.directive("irreversible", reason="law")]),
)
FAILED = made.failed(NOTE, made.error("42601", "syntax error"))


@pytest.mark.parametrize(
    ("part", "evidence", "reason"),
    [
        (Part.APPLY, MigrationEvidence(NOTE, "skipped", "needs orders"), "needs orders"),
        (Part.RERUN, MigrationEvidence(NOTE, "not-judged", "ALTER SYSTEM"), "not judged: ALTER SYSTEM"),
        (
            Part.APPLY,
            MigrationEvidence(NOTE, "failed", "no tool could send it"),
            "no tool could send it; see ::history",
        ),
        (Part.APPLY, FAILED, ""),
        (Part.DATA, FAILED, "the up failed; see ::apply"),
        (Part.ROLLBACK, made.clean(made.migration(down=None)), "there is no down; see ::history"),
        (Part.ROLLBACK, made.clean(DECLARED), "declared irreversible: law"),
        (Part.DATA, made.clean(DECLARED), ""),
        (Part.REAPPLY, made.clean(again=None), "the down is empty"),
        (Part.REAPPLY, made.clean(again=made.step(name="up on leftovers")), "see ::rollback"),
        (Part.REPLICA, made.clean(replica=ReplicaEvidence(reason="no replica was given")), "no replica was given"),
        (Part.RERUN, made.clean(), ""),
        (Part.ROLLBACK, made.clean(), ""),
    ],
)
def test_why_skipped(part: Part, evidence: MigrationEvidence, reason: str) -> None:
    said = judge.why_skipped(part, evidence)
    assert reason in said
    assert bool(reason) is bool(said)
    assert judge.verdict(part, evidence, ()).outcome == ("skipped" if reason else "passed")


def test_not_judged_is_counted() -> None:
    skipped = MigrationEvidence(NOTE, "skipped", "needs orders")
    assert [n.reason for n in judge.not_judged(skipped)] == ["needs orders"]
    quiet = made.clean(later=LaterRows(reason="turned off"), replica=ReplicaEvidence(reason="no replica was given"))
    assert [(n.subject, n.reason, n.migration) for n in judge.not_judged(quiet)] == [
        ("rows written after the up", "turned off", NOTE.key),
        ("replica", "no replica was given", NOTE.key),
    ]
    whole = made.clean(later=LaterRows(True, 3), replica=ReplicaEvidence(True, True))
    assert judge.not_judged(whole) == ()
