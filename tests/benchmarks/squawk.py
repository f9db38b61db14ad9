"""This plugin and squawk on the same hazards: ``python -m tests.benchmarks.squawk [--write] [--engine NAME]``.

Runs the corpus of fixtures/hazards/corpus.toml on real servers and squawk over the SQL of the same migrations, prints
who caught, missed and falsely accused what, and with ``--write`` writes docs/explanation/beside-squawk.md. squawk is
looked for on PATH and beside this Python; it is no dependency of the project (``pip install squawk-cli``).

What counts for whom stands in the page itself, in ``METHOD`` below.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from textwrap import fill

from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.model.cluster import Want
from tests.acceptance.hazards import Hazard, codes, corpus, observe, possible
from tests.acceptance.histories import FIXTURES, Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "beside-squawk.md"
ENGINES = {"embedded": EMBEDDED, "local": LOCAL}
PG_VERSION = "18"

_INDEX = "require-concurrent-index-creation"
_NOT_VALID = "constraint-missing-not-valid"
_KEY = "adding-foreign-key-constraint"
_DEFAULT = "adding-field-with-default"
_SERIAL = "adding-serial-primary-key-field"
_UNIQUE = "disallowed-unique-constraint"
_NOT_NULL = "adding-not-nullable-field"
_REMOVES = ("ban-drop-table", "ban-drop-schema", "ban-drop-database", "ban-truncate-cascade")

ABOUT: dict[str, tuple[str, ...]] = {
    "I1": (_INDEX,),
    "I2": ("ban-concurrent-index-creation-in-transaction",),
    "I3": (),
    "I4": ("require-concurrent-index-deletion",),
    "I5": ("require-concurrent-reindex",),
    "I6": (_INDEX,),
    "C2": (_DEFAULT,),
    "C3": (_SERIAL, _DEFAULT),
    "C4": (_DEFAULT,),
    "C5": ("adding-required-field", _NOT_NULL),
    "C6": (_UNIQUE, _NOT_VALID, _KEY, _SERIAL, _DEFAULT),
    "C7": ("ban-drop-column",),
    "C11": (_NOT_NULL, _NOT_VALID),
    "T1": ("changing-column-type",),
    "T3": ("changing-column-type",),
    "T5": ("changing-column-type",),
    "K1": (_KEY, _NOT_VALID),
    "K2": (_KEY,),
    "K3": ("ban-drop-constraint", "ban-drop-table"),
    "K4": (_NOT_VALID,),
    "K5": ("ban-alter-domain-with-add-constraint",),
    "K6": (_UNIQUE, _NOT_VALID),
    "K7": (_SERIAL, _NOT_VALID, _UNIQUE),
    "K8": (_NOT_VALID, _UNIQUE),
    "B1": _REMOVES,
    "B2": _REMOVES,
    "B5": (),
    "B6": ("require-concurrent-partition-detach",),
    "B7": (),
    "B8": (),
    "B9": ("prefer-repack",),
    "B10": (),
    "B13": (),
    "O1": ("ban-disable-trigger",),
    "O5": ("ban-alter-row-level-security",),
    "X1": ("require-lock-timeout", "require-timeout-settings"),
    "X2": ("require-statement-timeout", "require-timeout-settings"),
    "X3": (),
    "X4": (),
    "X5": (_NOT_VALID, "changing-column-type"),
    "X9": (),
    "D1": (),
}
"""The rules of squawk that name a hazard, by its item."""

TIMEOUTS = ("require-lock-timeout", "require-statement-timeout", "require-timeout-settings")
"""What they ask for is really missing in most good files: false only where a file sets it (X1, X2)."""

STYLE = (
    *("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-robust-stmts"),
    *("prefer-text-field", "prefer-timestamp-tz", "ban-char-field", "identifier-too-long"),
)
"""About no hazard of the catalogue: never false."""

NOT_LOCKS = (
    *STYLE,
    "require-statement-timeout",
    *("ban-drop-column", "ban-drop-constraint", "ban-drop-database", "ban-drop-not-null", "ban-drop-schema"),
    *("ban-drop-table", "ban-truncate-cascade", "renaming-column", "renaming-table", "adding-required-field"),
    *("ban-duplicate-column-assignments", "ban-uncommitted-transaction", "transaction-nesting"),
)
"""Left out in the second count: what is not about locks, rewrites and scans."""

OPT_IN = ("ban-disable-trigger", "ban-alter-row-level-security")
"""About hazards of the corpus that its other rules do not see, but off unless asked for."""


@dataclass(frozen=True)
class Cell:
    """How one tool did on one file: ``word`` decides the sum, ``rules`` says by what."""

    word: str
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.word}: {', '.join(self.rules)}" if self.rules else self.word


NONE = Cell("")


@dataclass(frozen=True)
class Row:
    """One hazard with what each tool said of its two histories."""

    hazard: Hazard
    ours: tuple[Cell, Cell]
    squawk: tuple[Cell, Cell]
    locks: tuple[Cell, Cell]


# -- squawk -------------------------------------------------------------------------------------------------------------------


def binary() -> str:
    """The squawk of PATH, or the one beside this Python; "" when there is none."""
    beside = Path(sys.executable).parent / "squawk"
    return shutil.which("squawk") or (str(beside) if beside.exists() else "")


class Squawk:
    """Runs squawk on files and remembers what it said and how long that took (seconds)."""

    def __init__(self, program: str, *flags: str) -> None:
        self.program = program
        self.flags = flags
        self.seconds = 0.0
        self.files = 0

    def version(self) -> str:
        """As ``--version`` prints it."""
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def rules(self, file: Path) -> set[str]:
        """The rules that warn about one file, which is said to be in a transaction exactly when it is."""
        text = file.read_text(encoding="utf-8")
        own = re.search(r"^BEGIN\b|-- pgmigrate: no-transaction", text, re.MULTILINE)
        wrapped = () if own else ("--assume-in-transaction",)
        command = [self.program, "--pg-version", PG_VERSION, "--reporter", "json", *wrapped, *self.flags, str(file)]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.seconds += time.perf_counter() - start
        self.files += 1
        if not done.stdout:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        return {warning["rule_name"] for warning in json.loads(done.stdout)}

    def bad(self, hazard: Hazard) -> Cell:
        """The last migration of a bad history, which holds its hazard."""
        if not hazard.bad:
            return NONE
        found = self.rules(sorted((FIXTURES / hazard.bad).glob("*.up.sql"))[-1]) & set(ABOUT[hazard.item])
        # Where we are silent on purpose, so may others be.
        return (
            Cell("caught", tuple(sorted(found))) if found else Cell("silent by design" if hazard.silent else "missed")
        )

    def good(self, hazard: Hazard) -> Cell:
        """All migrations of a good history but the first, which makes what production has."""
        if not hazard.good:
            return NONE
        if hazard.declared:
            return Cell("not counted")
        found: set[str] = set()
        for file in sorted((FIXTURES / hazard.good).glob("*.up.sql"))[1:]:
            found |= self.rules(file)
        # A time-out that a file does not set is missing indeed; where it sets it, the rule is wrong.
        allowed = {*STYLE, *TIMEOUTS} - {rule for rule in ABOUT.get(hazard.item, ()) if hazard.item in ("X1", "X2")}
        wrong = found - allowed
        return Cell("false", tuple(sorted(wrong))) if wrong else Cell("silent")

    def cells(self, hazard: Hazard) -> tuple[Cell, Cell]:
        """Both."""
        return self.bad(hazard), self.good(hazard)


def left_out(default: tuple[Cell, Cell], locks: tuple[Cell, Cell]) -> tuple[Cell, Cell]:
    """The second count beside the first: what only a rule that was left out would have caught is not missed."""
    bad, good = locks
    return (Cell("rule left out") if default[0].word == "caught" and bad.word != "caught" else bad), good


# -- ours ---------------------------------------------------------------------------------------------------------------------


def ours(hazard: Hazard, bad: Outcome, good: Outcome) -> tuple[Cell, Cell]:
    """What the two runs say of one hazard: errors and warnings, information where the corpus names it."""
    left = right = NONE
    if hazard.bad:
        found = codes(bad, hazard.bad, "error", "warning")
        told = tuple(sorted(set(codes(bad, hazard.bad, "info")) & set(hazard.info)))
        caught = tuple(sorted(set(found) & set(hazard.expected)))
        left = Cell("caught", caught) if caught else Cell("information", told) if told else Cell("missed")
        if left.word == "missed" and hazard.silent:
            left = Cell("silent by design")
    if hazard.good:
        wrong = tuple(sorted(set(codes(good, hazard.good, "error", "warning"))))
        right = Cell("false", wrong) if wrong else Cell("silent")
    return left, right


def examine(hazards: Iterable[Hazard], engine: str) -> tuple[Outcome, Outcome, float]:
    """One run over all bad histories, one over all good ones, and the seconds of both."""
    hazards = list(hazards)
    start = time.perf_counter()
    found = []
    for side in ("bad", "good"):
        folders = list(dict.fromkeys(getattr(hazard, side) for hazard in hazards if getattr(hazard, side)))
        with tempfile.TemporaryDirectory() as folder:
            found.append(observe(Path(folder), folders, f"--pgmigrate-engine={engine}"))
        if not found[-1].document:
            raise SystemExit(f"the run over the {side} histories gave no report:\n{found[-1].text[-3000:]}")
    return found[0], found[1], time.perf_counter() - start


# -- the page -----------------------------------------------------------------------------------------------------------------


def count(rows: Iterable[Row], tool: str) -> dict[str, int]:
    """How often each word was said; a good history that several hazards share counts once."""
    words: dict[str, int] = {}
    seen: set[str] = set()
    for row in rows:
        bad, good = getattr(row, tool)
        words[f"bad {bad.word}"] = words.get(f"bad {bad.word}", 0) + 1
        if row.hazard.good and row.hazard.good not in seen:
            words[f"good {good.word}"] = words.get(f"good {good.word}", 0) + 1
            seen.add(row.hazard.good)
    return words


def table(rows: Iterable[Row]) -> list[str]:
    """One line a hazard."""
    lines = [
        "| | hazard | ours, bad | ours, good | squawk, bad | squawk, good | lock rules, bad | lock rules, good |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        fewer = ["same" if a == b and str(a) else str(a) for a, b in zip(row.locks, row.squawk, strict=True)]
        cells = [*row.ours, *row.squawk, *fewer]
        lines.append(f"| {row.hazard.item} | {row.hazard.what} | {' | '.join(map(str, cells))} |")
    return lines


def sums(rows: list[Row], opt_in: tuple[int, int]) -> list[str]:
    """Who caught, missed and falsely accused how many."""
    lines = [
        "| | caught | missed | silent by design, or information | rule left out | false | silent on good | not counted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tool, name in (("ours", "pytest-pgmigrate"), ("squawk", "squawk"), ("locks", "squawk, lock rules only")):
        said = count(rows, tool)
        cells = [
            said.get("bad caught", 0),
            said.get("bad missed", 0),
            said.get("bad silent by design", 0) + said.get("bad information", 0),
            said.get("bad rule left out", 0),
            said.get("good false", 0),
            said.get("good silent", 0),
            said.get("good not counted", 0),
        ]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    asked = ", ".join(f"`{rule}`" for rule in OPT_IN)
    lines += [
        "",
        f"With its opt-in rules about these hazards ({asked}) squawk catches {opt_in[0]}; {opt_in[1]} are false.",
    ]
    return lines


METHOD = """
Each hazard of the [corpus](../../fixtures/hazards/corpus.toml) is a history that has it (*bad*) and one that reaches the
same end without it (*good*). This plugin runs both on real servers, up, down and up again; squawk reads the migration that
holds the hazard, and all migrations of the good history but the first, which makes what production has. It is told the
server's version, and of each file whether a transaction wraps it. On *bad*, a warning counts as caught when its rule names
the hazard (the map is `ABOUT` in `tests/benchmarks/squawk.py`, in doubt in squawk's favour). On *good*, any warning about a
hazard is false; style rules never are, nor is a missing time-out where the file sets none. Where the good history declares
in a directive of ours that a loss or a rewrite is wanted, squawk is not counted. A good history that several hazards share
counts once. *Silent by design*: a lock that is over in a moment, reported as soon as rows are read or written under it;
nobody's silence there is a miss. *Lock rules* leaves these out: {excluded}.

The corpus was written together with this plugin, from what tools of this kind warn about, so the figures say where the two
differ and not how often either errs on your migrations. squawk needs no server and answers in milliseconds ({squawk_ms:.0f}
ms a file here, the start of the process included; our two runs took {ours_seconds:.0f} s), so it fits into an editor. It has
rules that we have not: types, names, statements that can be run again, renamed and dropped columns that a release still
reads. Some of what it misses has no rule yet (REFRESH, ATTACH PARTITION, SET UNLOGGED), or one for a later PostgreSQL
(VACUUM FULL, CLUSTER), or one that is off unless asked for (triggers, row security). Most of the rest is not to be read from
one file: what an earlier one proved, how many rows a statement reads or writes under a lock that another one took.
"""


def page(rows: list[Row], opt_in: tuple[int, int], versions: str, squawk_ms: float, ours_seconds: float) -> str:
    """The Markdown of docs/explanation/beside-squawk.md."""
    excluded = ", ".join(f"`{rule}`" for rule in NOT_LOCKS)
    method = METHOD.format(excluded=excluded, squawk_ms=squawk_ms, ours_seconds=ours_seconds)
    paragraphs = [" ".join(paragraph.split()) for paragraph in method.split("\n\n")]
    text = "\n\n".join(fill(paragraph, 150, break_long_words=False, break_on_hyphens=False) for paragraph in paragraphs)
    lines = ["# Beside squawk", "", f"{versions}. Written by `python -m tests.benchmarks.squawk --write`.", "", text]
    lines += ["", "## Sums", *sums(rows, opt_in), "", "## Hazard by hazard", *table(rows), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="this plugin and squawk on the same hazards")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="embedded")
    asked = parser.parse_args()
    program = binary()
    if not program:
        raise SystemExit("squawk is neither on PATH nor beside this Python: pip install squawk-cli")
    answer = ENGINES[asked.engine].probe(Want())
    if not answer.usable or answer.major is None:
        raise SystemExit(f"{asked.engine}: {answer.reason}")

    hazards = possible(corpus(), answer.major)
    default, locks = Squawk(program), Squawk(program, f"--exclude={','.join(NOT_LOCKS)}")
    theirs = [(said, left_out(said, locks.cells(h))) for h in hazards for said in [default.cells(h)]]
    more = Squawk(program, f"--include={','.join(OPT_IN)}")
    nothing = (NONE, NONE)
    extended = count([Row(h, nothing, more.cells(h), nothing) for h in hazards], "squawk")
    opt_in = extended.get("bad caught", 0), extended.get("good false", 0)
    bad, good, seconds = examine(hazards, asked.engine)
    rows = [Row(h, ours(h, bad, good), *cells) for h, cells in zip(hazards, theirs, strict=True)]
    own = f"pytest-pgmigrate {metadata.version('pytest-pgmigrate')} on PostgreSQL {answer.major}"
    versions = f"{own}, {default.version()} with `--pg-version {PG_VERSION}`"
    text = page(rows, opt_in, versions, 1000 * default.seconds / default.files, seconds)
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
        print("\n".join(sums(rows, opt_in)))
    else:
        print(text)


if __name__ == "__main__":
    main()
