"""Sites as they are: what a site lacks or refuses is put right, or told before the first job is submitted."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Run, wait_until

#: Of Slurm's commands; a site without accounting has these alone.
CLIENTS = ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol")
#: The site's own sbatch: it refuses comments, and its jobs have a home that nobody can write to.
SBATCH = """\
#!/bin/sh
for one do
    case $one in
        --comment | --comment=*) echo "sbatch: error: this site takes no comments" >&2; exit 1 ;;
    esac
done
echo "$*" >> {calls}
HOME=/proc/no-home exec {real} "$@"
"""
#: Arrays of two tasks at most.
SCONTROL = """\
#!/bin/sh
{real} "$@" | sed 's/^MaxArraySize .*/MaxArraySize            = 3/'
"""


def strange_tools(cluster, folder: Path) -> Path:
    """The folder that is a site's whole PATH: Slurm without accounting and without SLURM_CONF of its own."""
    folder.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        for tool in Path(place).iterdir() if Path(place).is_dir() else ():
            target = folder / tool.name
            if not target.is_symlink() and not re.match(
                r"sacct|sacctmgr|sshare|sreport|sbatch$|scontrol$", tool.name
            ):
                target.symlink_to(tool)
    calls = {"calls": folder / "calls.txt"}
    for name, text in {"sbatch": SBATCH, "scontrol": SCONTROL}.items():
        (folder / name).write_text(text.format(real=shutil.which(name, path="/usr/bin:/bin"), **calls))
        (folder / name).chmod(0o755)
    return folder


def change_profile(folder: Path, defaults: dict, **keys) -> None:
    path = folder / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text()) | keys
    profile["default-resources"] |= defaults
    path.write_text(yaml.safe_dump(profile, sort_keys=False))


@pytest.fixture(scope="module")
def strange(make_run, cluster, tmp_path_factory) -> Iterator[tuple[Run, str, Path]]:
    """A run of ``site.smk`` on a site with nearly everything otherwise; Snakemake itself is within a job."""
    run = make_run("strange")
    shutil.copy2(Path(__file__).with_name("site.smk"), run.folder / "Snakefile")
    change_profile(
        run.folder,
        {"gpu_request": "gres", "gres": "tmpspace:10G,nvme:1", "slurm_account": "somebody"},
        **{"slurm-array-jobs": "many"},
    )
    tools = strange_tools(cluster, tmp_path_factory.mktemp("site") / "tools")
    environment = {
        # The plugin removes SLURM_* where it finds itself within a job.
        "SLURM_CONF": str(cluster.folder / "slurm.conf"),
        "SLURM_JOB_ID": "1",
        # Nodes do not have it: Slurm itself then sets /tmp.
        "TMPDIR": "/no/such/scratch",
    }
    process = run.start(path=str(tools), environment=environment)
    yield run, run.finish(process, seconds=600), tools
    if process.poll() is None:
        process.kill()


def found(strange, name: str) -> str:
    return (strange[0].folder / "found" / f"{name}.txt").read_text()


def test_a_site_reached_by_slurm_conf_alone_without_accounting_runs_the_jobs(strange):
    assert "JobState=RUNNING" in found(strange, "gpu")
    assert "Errno 2" not in strange[1]
    assert " -A somebody" in (strange[2] / "calls.txt").read_text()


def test_the_sites_resources_and_the_gpu_both_reach_sbatch(strange):
    gpu, other = found(strange, "gpu"), found(strange, "many-0")
    for name in ("tmpspace", "nvme"):
        assert f"gres:{name}" in gpu and f"gres:{name}" in other
    assert "gres:gpu" in gpu and "gres:gpu" not in other


def test_comments_are_left_out_where_a_site_refuses_them(strange):
    assert "This site refuses comments" in strange[1]
    assert "--comment" not in (strange[2] / "calls.txt").read_text()


def test_more_jobs_than_an_array_may_have_are_submitted_one_by_one(strange):
    assert "many has 3 jobs, and this site numbers the tasks of an array up to 2" in strange[1]
    assert {found(strange, f"many-{number}").split()[-1] for number in range(3)} == {"none"}
    assert "Trying to restart" not in strange[1]


def test_jobs_need_no_home_and_are_told_the_tmpdir_that_they_were_given(strange):
    assert "home /proc/no-home" in found(strange, "gpu")
    assert f"cache {strange[0].folder}/.snakemake/cache" in found(strange, "gpu")
    assert "tmpdir /no/such/scratch" in found(strange, "gpu")


def test_jobs_that_could_never_start_stop_the_run_before_the_first(make_run, cluster):
    run = make_run("never")
    shutil.copy2(Path(__file__).with_name("requests.smk"), run.folder / "Snakefile")
    change_profile(run.folder, {"slurm_partition": "short"})
    process = run.start("asked/one.txt")
    assert process.wait(600)
    text = (run.folder / "snakemake.log").read_text()
    assert "jobs of one ask for 960, and partition short has 30 minutes" in text
    assert "set max_runtime: 30" in text
    # Jobs of other runs come, and go ten minutes after their end.
    lines = cluster.command("squeue", "--noheader", "--states=all", "--format=%i %Z").splitlines()
    assert not [line for line in lines if line.endswith(f"{run.folder}")]


def test_jobs_that_ctrl_c_left_in_the_queue_are_cancelled(make_run, cluster):
    run = make_run("interrupted")
    (run.folder / "Snakefile").write_text(
        'configfile: "config.yaml"\ninclude: "rules/common.smk"\n'
        'rule all:\n    default_target: True\n    input: expand("slept/{number}", number=range(12))\n'
        'rule sleep:\n    output: "slept/{number}"\n    resources:\n        mem_mb=500, runtime=5,\n'
        # One job starts, the others wait: each that starts costs two starts of Snakemake.
        '        slurm_extra=lambda of: "--begin=now+1hour" if int(of.number) else "--nice=1"\n'
        '    shell: "sleep 600; touch {output}"\n'
    )
    change_profile(run.folder, {})
    process = run.start()
    mine = f"{run.folder}"

    def queue() -> list[str]:
        lines = cluster.command(
            "squeue", "--noheader", "--states=PENDING,RUNNING", "--format=%i %Z"
        ).splitlines()
        return [line for line in lines if line.endswith(mine)]

    try:
        wait_until(queue, what="the first job of twelve")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(600)
        wait_until(lambda: not queue(), what="an empty queue")
    finally:  # or jobs of ten minutes would hold the nodes of the tests that follow
        process.kill()
        for line in queue():
            cluster.command("scancel", line.split()[0])
    assert re.search(r"0 of 13 (jobs|are) done", (run.folder / "snakemake.log").read_text())


def test_a_job_that_waits_for_ever_is_said(make_run, cluster, tmp_path):
    held = ["sbatch", "--parsable", "--hold", "--output=/dev/null", f"--chdir={tmp_path}", "--wrap=true"]
    number = cluster.command(*held).strip()
    try:
        script = (
            "from pathlib import Path; from chestct.status.stuck_jobs import watch; looks = iter([0, 1]); "
            "watch(Path.cwd(), print, seconds=0, over=lambda: next(looks))"
        )
        root = Path(__file__).resolve().parents[2]
        environment = cluster.environment() | {"PYTHONPATH": str(root / "workflow_scripts")}
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f"Slurm job(s) {number} will not start (JobHeldUser): they are held" in done.stdout
    finally:
        cluster.command("scancel", number)
