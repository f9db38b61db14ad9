"""Writes the reference pages from the code, so that they cannot differ from it.

``python docs/generate.py`` writes them, ``--check`` only says which are stale (and fails), ``--sample`` runs the
tutorial on a real server and puts what pytest printed into the tutorial and the README.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_pgmigrate import hookspecs, registry
from pytest_pgmigrate.catalogue import fixtures_of
from pytest_pgmigrate.options import OPTIONS, Option
from pytest_pgmigrate.registry import Check
from pytest_pgmigrate.reports.terminal import FAMILIES

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
TUTORIAL = DOCS / "tutorials" / "first-run.md"
README = ROOT / "README.md"
EXAMPLES = DOCS / "explanation" / "locks-by-example.md"

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+):$", re.MULTILINE)
_DIRECTIVE = re.compile(r"-- pgmigrate: [a-z-]+(?:\[[^\]]*\])?(?: <reason>)?")
_BLOCK = r"(<!-- {kind}: {name} -->\n).*?(<!-- end -->)"
_STAGE = re.compile(
    r"<!-- file: (?P<file>\S+) -->\n```\w+\n(?P<text>.*?)```\n|<!-- sample: (?P<sample>\S+) -->", re.DOTALL
)
_RAN = re.compile(r"<!-- ran: (\S+) -->")
_NOISE = re.compile(r"^(platform|cachedir|rootdir|configfile|plugins|collecting)\b.*\n", re.MULTILINE)


# -- checks ---------------------------------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """A docstring's paragraphs as Markdown: lines joined, directives as code, ``<`` kept from becoming a tag."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        joined = re.sub(r"(?<=[a-z])-\n\s*(?=[a-z])", "-", paragraph)
        joined = " ".join(joined.split()).replace("``", "`")
        parts = re.split(r"(`[^`]*`)", _DIRECTIVE.sub(lambda m: f"`{m[0]}`", joined))
        paragraphs.append("".join(p if p.startswith("`") else p.replace("<", r"\<").replace("*", r"\*") for p in parts))
    return "\n\n".join(paragraphs)


def sections(documentation: str) -> tuple[str, list[tuple[str, str]]]:
    """A check's docstring as its first sentence and its headed sections."""
    head, *rest = _HEADING.split(documentation)
    return prose(head), list(zip(rest[::2], rest[1::2], strict=True))


def check_page(check: Check) -> str:
    """The page of one check."""
    summary, parts = sections(check.documentation)
    severity = check.severity.value + (f", {check.strict.value} with `--pgmigrate-strict`" if check.strict else "")
    source = Path(inspect.getsourcefile(check.function) or "").name
    lines = [
        f"# {check.code} {check.slug}",
        f"<!-- Written by docs/generate.py from checks/{source} and fixtures/checks/{check.code}. -->",
        summary,
        f"Severity: {severity}. Part: `::{check.part.value}`. Since {check.since}.",
    ]
    for title, text in parts:
        lines += [f"## {title}", references(text) if title == "References" else prose(text)]
    for kind, files in fixtures_of(check.code).items():
        if files:
            lines.append(f"## {kind.capitalize()}")
        lines += [example(file) for file in sorted(files, key=lambda f: f.name.replace(".down.", ".~."))]
    return "\n\n".join(lines) + "\n"


def references(text: str) -> str:
    """One bullet a link."""
    lines = [re.sub(r"(https?://\S+)", r"<\1>", line.strip()) for line in text.splitlines()]
    return "\n".join(f"- {line}" for line in lines if line)


def example(file: Path) -> str:
    """One file of a fixture; bytes that are no text are shown escaped."""
    text = file.read_bytes().decode("utf-8", "backslashreplace").rstrip("\n")
    shown = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return f"`{file.name}`\n\n````sql\n{shown}\n````"


def families(checks: tuple[Check, ...]) -> Iterator[tuple[str, str, list[Check]]]:
    """Digit, name and checks of each family that has any."""
    for digit, name in FAMILIES.items():
        found = [c for c in checks if c.code.startswith(f"PMG{digit}")]
        if found:
            yield digit, name, found


def check_index(checks: tuple[Check, ...]) -> str:
    """All checks, by family."""
    lines = [
        "# Checks",
        "<!-- Written by docs/generate.py from pytest_pgmigrate/checks. -->",
        "A check is a pure function from evidence to findings. An `error` fails the item, a `warning` is shown and does "
        "not, `info` stands in the JSON report and is shown with `-v`. `--pgmigrate-strict` turns warnings into errors. "
        "`pytest --pgmigrate-explain=CODE` prints a page in the terminal.",
    ]
    for digit, name, found in families(checks):
        rows = [
            f"| [{c.code}]({c.code}.md) | {c.slug} | {c.severity.value} | `::{c.part.value}` | {sections(c.documentation)[0]} |"
            for c in found
        ]
        table = ["| code | slug | severity | part | what it finds |", "|---|---|---|---|---|", *rows]
        lines += [f"## {digit}xx: {name}", "\n".join(table)]
    return "\n\n".join(lines) + "\n"


def family_table(checks: tuple[Check, ...]) -> str:
    """The families and how many checks each has, for the README."""
    rows = [
        f"| {digit}xx {name} | {', '.join(f'[{c.slug}](docs/reference/checks/{c.code}.md)' for c in found)} |"
        for digit, name, found in families(checks)
    ]
    return "\n".join(["| family | checks |", "|---|---|", *rows])


# -- the other references -------------------------------------------------------------------------------------------------


def option_row(option: Option) -> str:
    """One line of the options table."""
    flag = option.flag + (f"={option.metavar}" if option.metavar else "")
    default = "off" if option.default is False else "" if option.default in (None, ()) else f"`{option.default}`"
    text = option.help + (f"; accepted: {', '.join(option.choices)}" if option.choices else "")
    text += f"; environment: `{option.environment}`" if option.environment else ""
    cells = (f"`{flag}`", f"`{option.key}`" if option.ini else "", default, text)
    return "| " + " | ".join(cell.replace("|", r"\|").replace("<", r"\<") for cell in cells) + " |"


def option_table() -> str:
    """All settings: flag, ini key, default, meaning."""
    head = ["| flag | ini key | default | meaning |", "|---|---|---|---|"]
    switch = "| `--pgmigrate` |  | off | Run the migrations; without it nothing is collected and nothing is started |"
    return "\n".join([*head, switch, *map(option_row, OPTIONS)])


def hook_list() -> str:
    """Every hook with its signature."""
    entries = []
    for name, function in vars(hookspecs).items():
        if not name.startswith("pytest_pgmigrate_"):
            continue
        first = getattr(function, "pytest_spec", {}).get("firstresult")
        how = "" if first else " All results are taken together."
        signature = str(inspect.signature(function)).replace("'", "")
        entries.append(
            f"## {name}\n\n```python\ndef {name}{signature}: ...\n```\n\n{prose(function.__doc__ or '')}{how}"
        )
    return "\n\n".join(entries)


def named_list(found: dict[str, Any]) -> str:
    """Engines, formats or reports: the module's docstring, then the class's."""
    entries = []
    for name, item in sorted(found.items()):
        module = sys.modules[type(item).__module__]
        expects = f"\n\nFiles: {prose(item.expects)}" if hasattr(item, "expects") else ""
        texts = [prose(module_text(module)), prose(inspect.cleandoc(type(item).__doc__ or ""))]
        entries.append(f"## {name}\n\n" + "\n\n".join(text for text in texts if text) + expects)
    return "\n\n".join(entries)


def module_text(module: ModuleType) -> str:
    """A module's docstring."""
    return inspect.cleandoc(module.__doc__ or "")


# -- pages ----------------------------------------------------------------------------------------------------------------


def fill(text: str, kind: str, name: str, body: str) -> str:
    """``text`` with the block between ``<!-- kind: name -->`` and ``<!-- end -->`` replaced. Raises ValueError without one."""
    pattern = re.compile(_BLOCK.format(kind=kind, name=re.escape(name)), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"there is no block <!-- {kind}: {name} --> … <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text, count=1)


def pages() -> dict[Path, str]:
    """Every page that is written wholly or in part from the code, as it should be."""
    checks = registry.load_checks()
    reference = DOCS / "reference"
    found = {reference / "checks" / f"{c.code}.md": check_page(c) for c in checks}
    found[reference / "checks" / "index.md"] = check_index(checks)
    for path, name, body in (
        (reference / "options.md", "options", option_table()),
        (reference / "hooks.md", "hooks", hook_list()),
        (reference / "engines.md", "engines", named_list(registry.load_engines())),
        (reference / "formats.md", "formats", named_list(registry.load_formats())),
        (reference / "reports.md", "reports", named_list(registry.load_reports())),
        (README, "families", family_table(checks)),
    ):
        found[path] = fill(path.read_text(encoding="utf-8"), "generated", name, body)
    return found


def leftovers(wanted: dict[Path, str]) -> list[Path]:
    """Pages of checks that are gone."""
    return [path for path in sorted((DOCS / "reference" / "checks").glob("*.md")) if path not in wanted]


def stale(wanted: dict[Path, str]) -> list[str]:
    """What differs from what should be, in words."""
    problems = []
    for path, text in wanted.items():
        shown = path.relative_to(ROOT)
        if not path.exists():
            problems.append(f"{shown} is missing")
        elif path.read_text(encoding="utf-8") != text:
            problems.append(f"{shown} is stale")
    return problems + [f"{path.relative_to(ROOT)} describes no check" for path in leftovers(wanted)]


# -- the tutorial, run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the tutorial: files to write, then a run whose output the page shows under ``sample``."""

    sample: str
    files: dict[str, str]


def stages(text: str) -> list[Stage]:
    """The tutorial's files, grouped by the run that follows them."""
    found, files = [], dict[str, str]()
    for match in _STAGE.finditer(text):
        if match["file"]:
            files[match["file"]] = match["text"]
        else:
            found.append(Stage(match["sample"], files))
            files = {}
    return found


def run_stage(stage: Stage, folder: Path, *arguments: str) -> tuple[int, str]:
    """Write a stage's files and run ``pytest --pgmigrate`` there: the exit code and what it printed."""
    for name, text in stage.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--pgmigrate", "-p", "no:cacheprovider", "--color=no", *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS" and not k.startswith("PGMIGRATE_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def sample() -> None:
    """Run the tutorial and put the outputs into it; the first one goes into the README too."""
    text, readme = TUTORIAL.read_text(encoding="utf-8"), README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages(text):
            code, output = run_stage(stage, Path(folder))
            shown = _NOISE.sub("", output).replace(str(Path(folder).resolve()), ".").rstrip()
            block = f"```text\n{shown}\n```"
            text = fill(text, "sample", stage.sample, block)
            if f"<!-- sample: {stage.sample} -->" in readme:
                readme = fill(readme, "sample", stage.sample, block)
            print(f"{stage.sample}: exit code {code}")
    TUTORIAL.write_text(text, encoding="utf-8")
    README.write_text(readme, encoding="utf-8")


def _shorter(output: str) -> str:
    """The findings and the timeline, without the heads and the migration that only makes the tables."""
    blocks = re.split(r"\n\s*\n|^=+ .* =+\n|\n=+ .* =+(?:\n|$)", output, flags=re.MULTILINE)
    noise = ("pgmigrate: ", "not judged: ", "FAILED ", "platform ", "migrations/000001")
    kept = [block.strip("\n") for block in blocks if block and block.strip() and not block.startswith(noise)]
    return "\n\n".join(block for block in kept if "::locks " not in block and not _NOISE.match(block))


def examples() -> None:
    """Run the histories that the page of examples names, and keep what pytest printed."""
    os.environ["COLUMNS"] = "132"
    text = EXAMPLES.read_text(encoding="utf-8")
    for name in _RAN.findall(text):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / name, Path(folder) / "migrations")
            only = (
                "-p",
                "no:faker",
                "-m",
                "pgmigrate",
                "-k",
                "locks",
                "-v",
                "--pgmigrate-engine=embedded",
                "--rootdir=.",
            )
            code, output = run_stage(Stage(name, {"pytest.ini": "[pytest]\n"}), Path(folder), *only)
            shown = _shorter(output)
            text = fill(text, "ran", name, f"```text\n{shown}\n```")
            print(f"{name}: exit code {code}")
    EXAMPLES.write_text(text, encoding="utf-8")


def main() -> int:
    """Write, check or sample."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is stale")
    parser.add_argument("--sample", action="store_true", help="run the tutorial and keep what pytest printed")
    arguments = parser.parse_args()
    if arguments.sample:
        sample()
        examples()
        return 0
    wanted = pages()
    if arguments.check:
        problems = stale(wanted)
        print(
            "\n".join([*problems, "run: python docs/generate.py"] if problems else ["the reference pages are current"])
        )
        return 1 if problems else 0
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    for path in leftovers(wanted):
        path.unlink()
        print(f"removed: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
