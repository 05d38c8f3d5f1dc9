"""The commands of Slurm that a site lacks, or that want more than Snakemake's plugin gives them."""

import os
import subprocess
from pathlib import Path

import pytest

from chestct.jobs.slurm_commands import (
    generic_resources,
    needed_configuration,
    refuses_comments,
    write_commands,
)


def script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A site of which all commands but those of accounting are there, and print what they were given."""
    tools = tmp_path / "tools"
    for name in ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol"):
        script(tools, name, f'echo "{name} conf=$SLURM_CONF"; for one do printf "%s\\n" "$one"; done')
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    # This machine may have Slurm; the site of the test has no accounting.
    monkeypatch.setattr(
        "shutil.which", lambda name, path: str(tools / name) if (tools / name).exists() else None
    )
    return tools


def call(environment: dict[str, str], *command: str) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


PLUGIN = ["--parsable", "--job-name", "chestct_1", "--comment", "rule_finetune_wildcards_a b", "--ntasks=1"]
WRAP = '--wrap=python -m snakemake "--gres=no" --comment x'


@pytest.mark.parametrize(
    ("asked", "site_has", "expected"),
    [
        (["--gres=gpu:a100:2"], "tmpspace:10G", ["--gres=gpu:a100:2,tmpspace:10G"]),
        (["--gres=gpu:1"], "tmpspace:10G,nvme:1", ["--gres=gpu:1,tmpspace:10G,nvme:1"]),
        ([], "tmpspace:10G nvme", ["--gres=tmpspace:10G,nvme"]),
        (["--gres=tmpspace:10G"], "tmpspace:10G", ["--gres=tmpspace:10G"]),
        (["--gres=gpu:1"], "'gpu:2,tmpspace:1G'", ["--gres=gpu:1,tmpspace:1G"]),
        (["--gres=gpu:1"], None, ["--gres=gpu:1"]),
        ([], None, []),
    ],
)
def test_the_sites_generic_resources_and_those_of_gpus_both_reach_sbatch(
    site, tmp_path, asked, site_has, expected
):
    environment = dict(os.environ)
    write_commands(tmp_path / "made", environment, gres=site_has)
    _, *given = call(environment, "sbatch", *PLUGIN, *asked, WRAP)
    gres = [one for one in given if one.startswith("--gres=")]
    assert gres == expected
    assert [one for one in given if one not in gres] == [*PLUGIN, WRAP]
    assert generic_resources("'tmpspace:10G'") == ["tmpspace:10G"]


@pytest.mark.parametrize("comment", [["--comment", "--gres=odd words"], ["--comment=odd words"]])
def test_a_comment_is_left_out_where_the_site_refuses_it(site, tmp_path, comment):
    environment = dict(os.environ)
    write_commands(tmp_path / "made", environment, no_comment=True)
    assert call(environment, "sbatch", "-p", "a", *comment, WRAP)[1:] == ["-p", "a", WRAP]


def test_a_configuration_that_the_plugin_removes_comes_back_with_every_command(site, tmp_path):
    (tmp_path / "slurm.conf").write_text("")
    environment = dict(os.environ)
    write_commands(tmp_path / "made", environment, slurm_conf=str(tmp_path / "slurm.conf"))
    for name in ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo"):
        assert call(environment, name, "x") == [f"{name} conf={tmp_path}/slurm.conf", "x"]
    # On a node that has the configuration elsewhere, Slurm's own place counts.
    (tmp_path / "slurm.conf").unlink()
    assert call(environment, "srun") == ["srun conf="]


def test_a_configuration_is_given_back_only_where_commands_need_it(site, tmp_path):
    (tmp_path / "conf").write_text("")
    assert needed_configuration(str(tmp_path / "conf"), os.environ) is None, "sinfo works without"
    script(site, "sinfo", '[ "$SLURM_CONF" ]')
    environment = dict(os.environ) | {"SLURM_CONF": str(tmp_path / "conf"), "SLURM_JOB_ID": "7"}
    assert needed_configuration(str(tmp_path / "conf"), environment) == str(tmp_path / "conf")
    script(site, "sinfo", "exit 1")
    assert needed_configuration(str(tmp_path / "conf"), environment) is None
    assert needed_configuration(None, environment) is None


def test_a_site_without_accounting_gets_commands_that_say_nothing(site, tmp_path):
    environment = dict(os.environ)
    write_commands(tmp_path / "made", environment)
    for name in ("sacct", "sacctmgr", "sshare"):
        assert (tmp_path / "made" / "last" / name).stat().st_mode & 0o111
        assert call({"PATH": f"{tmp_path}/made/last:/bin"}, name, "-n", "list") == []
    assert environment["PATH"].split(":")[-1] == f"{tmp_path}/made/last"
    # What the site has is left alone, and nothing is put before it.
    assert environment["PATH"].startswith(f"{site}:")


def test_folders_are_on_the_path_once_however_often_a_run_begins(site, tmp_path):
    environment = dict(os.environ)
    for _ in range(3):
        write_commands(tmp_path / "made", environment, gres="tmpspace:1G")
    places = environment["PATH"].split(":")
    assert len(places) == len(set(places)) and places[0] == f"{tmp_path}/made/first"
    assert call(environment, "sbatch", "x")[1:] == ["--gres=tmpspace:1G", "x"]


@pytest.mark.parametrize(
    ("rule_of_site", "refuses"),
    [
        ("exit 0", False),
        ('case "$*" in *--comment*) exit 1;; esac', True),
        ("exit 1", False),  # something else is wrong, which sbatch itself will say
    ],
)
def test_it_is_tried_without_a_job_whether_comments_are_refused(site, rule_of_site, refuses):
    script(site, "sbatch", f'case "$*" in *--test-only*--partition=p*) ;; *) exit 9;; esac\n{rule_of_site}')
    assert refuses_comments(["--partition=p"]) == refuses
