"""What jobs ask for: the table beside its measurements, and the limits of this machine."""

import re

import pytest

from chestct.tables import read_table


def test_jobs_ask_for_more_than_was_measured(root):
    table = read_table(root / "workflow_scripts" / "chestct" / "jobs" / "memory_and_time.csv", "resources")
    # A job under Slurm is Snakemake twice, 140 MB each, beside the rule's process.
    assert (table["mem_mb"] >= table["measured_mb"] + 300).all()
    assert (table["runtime_min"] >= 3 * table["measured_min"]).all()
    assert table["rule"].is_unique


def test_every_row_names_a_rule(root):
    text = "".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    known = {*re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.M), "finetune", "reader"}
    assert (
        set(
            read_table(root / "workflow_scripts" / "chestct" / "jobs" / "memory_and_time.csv", "resources")[
                "rule"
            ]
        )
        <= known
    )


@pytest.mark.parametrize(("visible", "number"), [("", 0), ("0", 1), ("2,3", 2)])
def test_a_machines_memory_and_gpus_are_limits(project, monkeypatch, visible, number):
    (project.folder / "probe.smk").write_text(
        'rule probe:\n    output: "probe.txt"\n    resources: gpu=8, mem_mb=10**9\n'
        '    shell: "echo {resources.gpu} {resources.mem_mb} > {output}"\n'
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    project.run("--snakefile", "probe.smk", study=None)
    gpus, memory = (int(word) for word in (project.folder / "probe.txt").read_text().split())
    assert gpus == number
    assert 500 < memory < 10**8
