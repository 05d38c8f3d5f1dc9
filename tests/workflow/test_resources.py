"""The limits of this machine are those of its jobs."""

import pytest


@pytest.mark.parametrize(("visible", "number"), [("", 0), ("0", 1), ("2,3", 2)])
def test_a_machines_memory_and_gpus_are_limits(project, monkeypatch, visible, number):
    (project.folder / "probe.smk").write_text(
        'rule probe:\n    output: "probe.txt"\n    resources: gpu=8, mem_mb=10**9\n'
        '    shell: "echo {resources.gpu} {resources.mem_mb} > {output}"\n'
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    project.ask("--snakefile", "probe.smk", study=None)
    gpus, memory = (int(word) for word in (project.folder / "probe.txt").read_text().split())
    assert gpus == number
    assert 500 < memory < 10**8
