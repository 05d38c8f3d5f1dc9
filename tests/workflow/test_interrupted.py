"""What Snakemake does with the folder in which interrupted training jobs keep their states."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.workflow.warm_start import run_warm

SNAKEFILE = """
rule all:
    input: "run/a.txt", "run/b.txt"
rule train:
    output: "run/a.txt", "run/b.txt"
    shell: "bash train.sh"
"""
#: Writes a result and a state; the first time it ends badly, the second it must find the state alone.
SCRIPT = """
mkdir -p run/.checkpoint
if [ -e run/.checkpoint/last.ckpt ]; then
    [ ! -e run/a.txt ] && touch run/a.txt run/b.txt && rm -r run/.checkpoint
else
    touch run/a.txt run/.checkpoint/last.ckpt
    {end}
fi
"""


@pytest.mark.parametrize("end", ["exit 143", "sleep 60"], ids=["job fails", "everything is killed"])
def test_snakemake_leaves_the_folder_of_states_alone(tmp_path, end):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "train.sh").write_text(SCRIPT.replace("{end}", end))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--rerun-incomplete"]
    command += ["--scheduler", "greedy"]
    state = tmp_path / "run" / ".checkpoint" / "last.ckpt"
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as process:
        if end == "exit 143":
            assert process.wait(600)
        else:
            while not state.exists():
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGKILL)
    assert state.exists()
    again = command[2:]
    if end != "exit 143":
        assert run_warm([*again, "--unlock"], tmp_path, dict(os.environ)).returncode == 0
    assert run_warm(again, tmp_path, dict(os.environ)).returncode == 0
    assert (tmp_path / "run" / "b.txt").exists()
    assert not state.parent.exists()
