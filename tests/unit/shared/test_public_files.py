"""What a public repository shows beside the code: one version, files that parse, commands that exist."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import chestct

ROOT = Path(__file__).resolve().parents[3]


def test_the_version_is_the_same_wherever_it_stands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    codemeta, zenodo = (json.loads((ROOT / name).read_text()) for name in ("codemeta.json", ".zenodo.json"))
    assert citation["version"] == codemeta["version"] == zenodo["version"] == chestct.__version__
    assert citation["license"] == zenodo["license"] == "MIT"
    assert citation["keywords"] == codemeta["keywords"] == zenodo["keywords"]
    assert zenodo["title"] == citation["title"] and codemeta["license"].endswith("/MIT")


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *ROOT.glob(".github/**/*.yml"),
            ROOT / ".pre-commit-config.yaml",
            ROOT / ".snakemake-workflow-catalog.yml",
        ]
    ),
    ids=lambda path: path.name,
)
def test_forms_and_workflows_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_every_make_target_that_is_named_anywhere_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".ci/run",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob(".github/**/*"),
    ]
    named = {
        (page.name, target)
        for page in pages
        if page.is_file()
        for target in re.findall(r"(?:^|`|run: |PATH )make ([a-z][a-z-]*)", page.read_text(), re.M)
    }
    assert len(named) > 20
    assert not {(page, target) for page, target in named if target not in targets}


def test_bare_make_prints_help_and_a_misspelt_study_ends_before_anything_is_set_up(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "smoke.yaml").touch()
    shown = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0 and "make study" in shown.stdout and "smoke" in shown.stdout
    wrong = subprocess.run(["make", "study", "STUDY=smokee"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and "no study 'smokee'" in wrong.stderr and "smoke" in wrong.stderr
    (tmp_path / "studies" / "quick.yaml").write_text("# Small. An overlay over smoke.yaml, given after it:\n")
    wrong = subprocess.run(["make", "plan", "STUDY=quick"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and 'expected: STUDY="smoke quick"' in wrong.stderr
    (tmp_path / "profiles" / "slurm").mkdir(parents=True)
    command = ["make", "study", "STUDY=smoke", "PROFILE=slrum"]
    wrong = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and "no profile 'slrum'" in wrong.stderr and "slurm" in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Makefile", "profiles", "studies"]


def _pages() -> list[Path]:
    """The project's Markdown, without what lies in folders that hold packages or results."""
    below = ("docs", "schemas", "benchmarks", ".github")
    pages = [
        *ROOT.glob("*.md"),
        ROOT / "results/README.md",
        *(p for d in below for p in ROOT.glob(f"{d}/**/*.md")),
    ]
    return [page for page in pages if page.is_file()]


def _without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _without_code(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_to_files_and_headings_that_are_there():
    links = [
        (page, *target.partition("#")[::2])
        for page in _pages()
        for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page))
        if "://" not in target
    ]
    assert len(links) > 50
    dead = [
        (page.name, path, anchor)
        for page, path, anchor in links
        for leads_to in [page.parent / path if path else page]
        if not leads_to.exists() or (anchor and anchor not in _anchors(leads_to))
    ]
    assert not dead


def test_pages_and_their_sections_that_are_named_in_words_exist_and_the_index_lists_every_page():
    sources = [*_pages(), ROOT / "config.yaml", ROOT / "Makefile"]
    for folder, suffixes in {"studies": "*.yaml", "profiles": "**/*.yaml", "rules": "*.smk"}.items():
        sources += ROOT.glob(f"{folder}/{suffixes}")
    sources += (ROOT / "workflow_scripts").glob("**/*.py")
    texts = {path: " ".join(path.read_text(encoding="utf-8").split()) for path in sources}
    named = {
        (path.name, page) for path, text in texts.items() for page in re.findall(r"\bdocs/(\w+\.md)", text)
    }
    assert len(named) > 50
    assert not {(where, page) for where, page in named if not (ROOT / "docs" / page).is_file()}
    sections = {
        (path.name, *found)
        for path, text in texts.items()
        for found in re.findall(r'docs/(\w+\.md), \\?"([^"\\]+)\\?"', text)
    }
    assert len(sections) >= 5
    assert not {
        (where, page, section)
        for where, page, section in sections
        if section
        not in re.findall(r"^(?:#+ |\*\*)(.+?)(?:\.?\*\*.*)?$", (ROOT / "docs" / page).read_text(), re.M)
    }
    index = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert index == {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"}


def test_messages_that_the_page_on_troubleshooting_quotes_are_said_somewhere():
    """What stands between placeholders (numbers, names, ...) is looked for in the code's own texts."""
    sources = [*(ROOT / "workflow_scripts").glob("**/*.py"), ROOT / "Makefile"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    said = " ".join(re.sub(r'"\s*\n\s*f?"', "", code).split())
    rows = [
        row
        for row in (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| ") and "LockException" not in row  # Snakemake's own
    ]
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    pieces = {
        piece.strip()
        for text in quoted
        for piece in re.split(r"\.\.\.|'[^']*'|\b(?:\d+|n|m|nan)\b", text)
        if len(piece.split()) > 1
    }
    assert len(pieces) > 25
    assert not {piece for piece in pieces if piece not in said}


def test_modules_that_a_package_tells_to_read_exist():
    package = ROOT / "workflow_scripts" / "chestct"
    named = {
        (path.parent, name)
        for path in package.rglob("__init__.py")
        for name in re.findall(r"``([a-z_0-9.*]+)``", ast.get_docstring(ast.parse(path.read_text())) or "")
    }
    assert len(named) > 50
    wrong = [
        (folder.name, name)
        for folder, name in sorted(named)
        if not [*folder.glob(f"{name.replace('.', '/')}.py"), *folder.glob(f"{name}/__init__.py")]
    ]
    assert not wrong
