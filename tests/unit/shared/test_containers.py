"""The Dockerfile, the apptainer definition and the page on them agree, and hold all that runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "envs" / "containers"
DOCKERFILE, DEFINITION, SCRIPT = (PLACE / name for name in ("Dockerfile", "study.def", "install.sh"))
#: What no container needs: tests, pages, benchmarks, and what makes the repository one.
LEFT_OUT = {"benchmarks", "docs", "results", "tests", "CHANGELOG.md", "CONTRIBUTING.md"}


def section(name: str) -> list[str]:
    """Lines of a section of the apptainer definition."""
    found = re.search(rf"^%{name}\n((?:[ \t]+.*\n|\n)+)", DEFINITION.read_text(), re.M)
    assert found
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_both_hold_the_same_files_and_all_that_a_run_needs() -> None:
    ignored = (PLACE / "Dockerfile.dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    copied = {line.removesuffix(" /study/") for line in section("files")}
    assert ignored[0] == "*" and admitted == copied
    tracked = {path.name for path in ROOT.iterdir() if not path.name.startswith((".", "__"))} - {"data"}
    assert tracked - LEFT_OUT == admitted
    assert not [name for name in admitted if not (ROOT / name).exists()]


def test_both_run_the_same_steps_on_the_same_debian() -> None:
    dockerfile, definition = DOCKERFILE.read_text(), DEFINITION.read_text()
    base = re.findall(r"^(?:ARG BASE=|From: )(debian@sha256:[0-9a-f]{64})$", dockerfile + definition, re.M)
    assert len(base) == 2 and len(set(base)) == 1
    call = "bash /study/envs/containers/install.sh"
    assert section("post") == [f'{call} "{{{{ TORCH }}}}" "{{{{ TORCH_INDEX }}}}"']
    assert re.findall(r"^RUN (.*?) &&", dockerfile, re.M) == [f'{call} "${{TORCH}}" "${{TORCH_INDEX}}"']
    assert "make setup " in SCRIPT.read_text()
    # Nobody is root when it runs: Docker by its USER, apptainer by itself.
    assert dockerfile.rindex("\nUSER 1000") > dockerfile.rindex("\nRUN ")
    assert "ENTRYPOINT" in dockerfile and 'CMD ["study", "STUDY=smoke"]' in dockerfile
    assert "set -- study STUDY=smoke" in " ".join(section("runscript"))


def test_the_page_gives_the_commands_of_both() -> None:
    page = (ROOT / "docs" / "installation.md").read_text()
    for path in (DOCKERFILE, DEFINITION):
        commands = re.findall(
            r"^#   ((?:docker|apptainer|mkdir) [^#\n]*?)(?: {2,}#.*)?$", path.read_text(), re.M
        )
        assert commands and all(command in page for command in commands)


def test_what_a_container_writes_to_is_open_to_every_user_and_nothing_else(tmp_path: Path) -> None:
    """The script itself, on a stand-in for a Debian."""
    study, tools = tmp_path / "study", tmp_path / "tools"
    (study / "workflow_scripts").mkdir(parents=True)
    tools.mkdir()
    for name in ("apt-get", "make"):
        (tools / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n')
        (tools / name).chmod(0o755)
    (study / ".venv" / "bin").mkdir(parents=True)
    (study / ".venv" / "bin" / "python").symlink_to(shutil.which("true") or "/bin/true")
    text = SCRIPT.read_text()
    text = (
        text.replace("/study", str(study)).replace("/var/lib/apt", str(tmp_path)).replace("~", str(tmp_path))
    )
    environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", text, "-", "cpu", "INDEX"], check=True, env=environment)
    calls = (tmp_path / "calls").read_text()
    assert "make setup PYTHON=/usr/bin/python3 TORCH=cpu TORCH_INDEX=INDEX" in calls
    opened = {path.name for path in study.iterdir() if path.stat().st_mode & 0o002}
    assert opened == {"data", "results", ".snakemake"}
