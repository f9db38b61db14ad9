"""The documentation is true: links lead somewhere, generated pages are current, the tutorial does what it shows."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from pytest_pgmigrate import hookspecs
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.model.cluster import Want
from pytest_pgmigrate.model.finding import Part
from pytest_pgmigrate.registry import load_checks, load_engines, load_formats, load_reports

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "fixtures").rglob("README.md")), *sorted(DOCS.rglob("*.md"))]
CHECKS = load_checks()
SECTIONS = ["Why it matters", "How it is measured", "How to fix", "When to ignore", "References"]


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def without_code(text: str) -> str:
    """Markdown without fenced blocks and code spans, where brackets mean nothing."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """The anchors that headings get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Targets of links inside the repository."""
    found = re.findall(r"\]\(([^()\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


# -- pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    assert {page for page in PAGES if DOCS in page.parents} - seen == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_postgresql_are_to_the_current_manual(page: Path) -> None:
    found = re.findall(r"https?://(?:www\.)?postgresql\.org/\S*", page.read_text(encoding="utf-8"))
    assert [link for link in found if not link.startswith("https://www.postgresql.org/docs/current/")] == []


def test_the_readme_fits_and_architecture_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert len((DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8").splitlines()) <= 110


# -- generated ------------------------------------------------------------------------------------------------------------


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_a_missing_and_a_leftover_page_are_found(generate: ModuleType) -> None:
    wanted = generate.pages()
    checks = DOCS / "reference" / "checks"
    stale, gone = checks / f"{CHECKS[0].code}.md", checks / f"{CHECKS[-1].code}.md"
    wanted[stale] += "x"
    del wanted[gone]
    wanted[checks / "PMG000.md"] = "x"
    assert sorted(generate.stale(wanted)) == sorted(
        [
            f"docs/reference/checks/{stale.name} is stale",
            "docs/reference/checks/PMG000.md is missing",
            f"docs/reference/checks/{gone.name} describes no check",
        ]
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.code))
def test_every_check_has_its_page_with_all_sections(check: Any) -> None:
    page = (DOCS / "reference" / "checks" / f"{check.code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {check.code} {check.slug}\n")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings[: len(SECTIONS)] == SECTIONS
    assert re.search(r"^- <https://", page, re.MULTILINE)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.code))
def test_every_check_page_shows_a_bad_and_a_good_example(check: Any) -> None:
    page = (DOCS / "reference" / "checks" / f"{check.code}.md").read_text(encoding="utf-8")
    bad, _, good = page.partition("\n## Good\n")
    assert "````sql" in bad.partition("\n## Bad\n")[2]
    assert "````sql" in good


def test_codes_and_slugs_are_unique() -> None:
    assert len({check.code for check in CHECKS}) == len({check.slug for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("engines", sorted(load_engines())),
        ("formats", sorted(load_formats())),
        ("reports", sorted(load_reports())),
        ("hooks", sorted(name for name in vars(hookspecs) if name.startswith("pytest_pgmigrate_"))),
    ],
)
def test_everything_that_has_a_name_is_in_its_reference(page: str, names: list[str]) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"\n## {name}\n" not in text] == []


# -- examples -------------------------------------------------------------------------------------------------------------


def test_python_examples_are_python() -> None:
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            compile(block, str(page), "exec")


def test_the_check_of_the_how_to_works(pytester: pytest.Pytester) -> None:
    text = (DOCS / "how-to" / "add-a-check.md").read_text(encoding="utf-8")
    check, conftest = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    pytester.mkpydir("shop").joinpath("checks.py").write_text(check)
    pytester.makeconftest(conftest)
    done = pytester.runpytest_subprocess("-p", "no:faker", "--pgmigrate-explain=SHOP001")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["SHOP001 slow-up (warning, part apply)"])


def test_the_json_example_follows_the_schema() -> None:
    schema = json.loads((DOCS / "reference" / "json-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    text = (DOCS / "reference" / "json-report.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(example))
    assert not validator.is_valid({**json.loads(example), "schema_version": 2})
    assert schema["$defs"]["part"]["enum"] == [part.value for part in Part]


def test_the_tutorial_does_what_it_shows(generate: ModuleType, tmp_path: Path) -> None:
    """Each of its runs, on a real server: the same items with the same outcome, the same findings at the same place."""
    answer = EMBEDDED.probe(Want())
    if not answer.usable:
        pytest.skip(f"embedded: {answer.reason}")
    text = (DOCS / "tutorials" / "first-run.md").read_text(encoding="utf-8")
    schema = json.loads((DOCS / "reference" / "json-report.schema.json").read_text(encoding="utf-8"))
    codes = {}
    for stage in generate.stages(text):
        code, output = generate.run_stage(stage, tmp_path, "--pgmigrate-report=json:report.json")
        shown = re.search(rf"<!-- sample: {stage.sample} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        assert shown is not None
        assert verdicts(output) == verdicts(shown[1])
        jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), schema)
        codes[stage.sample] = code
    assert codes == {"red": 1, "green": 0, "acknowledged": 0}


def verdicts(output: str) -> list[str]:
    """The lines of a run that say how it came out: progress dots, findings, the last line without its seconds."""
    wanted = re.compile(r"^(\S+\.sql( [.FsE]+|:\d+:\d+: .*)|=+ \d+ (passed|failed|skipped).*)", re.MULTILINE)
    return [re.sub(r" in [\d.]+s|=+|\[.*", "", match[0]).strip() for match in wanted.finditer(output)]


def test_the_readme_shows_the_tutorials_run() -> None:
    block = re.compile(r"<!-- sample: red -->\n(.*?)<!-- end -->", re.DOTALL)
    readme = block.search((ROOT / "README.md").read_text(encoding="utf-8"))
    tutorial = block.search((DOCS / "tutorials" / "first-run.md").read_text(encoding="utf-8"))
    assert readme is not None
    assert tutorial is not None
    assert readme[1] == tutorial[1]
    assert "PMG402" in readme[1]


def test_ci_runs_the_readmes_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^python3 -m venv.*$", readme, re.MULTILINE)
    assert "--pgmigrate -m pgmigrate fixtures/ecommerce/repaired --pgmigrate-engine=embedded" in first
    assert second.endswith(".venv/bin/pytest")
    for command in (first, second):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && ")
