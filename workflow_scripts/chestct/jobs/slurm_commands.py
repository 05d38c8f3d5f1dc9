"""Slurm's commands as Snakemake's plugin (2.8.0) needs them, on sites that are otherwise.

The plugin calls sbatch, srun and others by name. What it leaves out or cannot do without is put right in
small scripts of these names, in two folders on PATH, which jobs inherit:

- ``first`` stands before all others. Its scripts give back SLURM_CONF, which the plugin removes; ``sbatch``
  adds the site's own generic resources to those of GPUs, and leaves the comment out where a site refuses it.
- ``last`` stands behind all others. It has what a site without accounting lacks, sacct, sacctmgr and sshare,
  which say nothing: the plugin then submits with the account that it was given, or with none.
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from chestct.files import write_text
from chestct.jobs.slurm_site import SINFO, output_of

CLIENTS = ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol", "sacct", "sacctmgr", "sshare")
ACCOUNTING = ("sacct", "sacctmgr", "sshare")

_SBATCH = """\
no_comment={no_comment}
site_gres={gres}
asked=
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
        --comment) if [ "$no_comment" ]; then shift; left=$((left - 1)); continue; fi ;;
        --comment=*) if [ "$no_comment" ]; then continue; fi ;;
        --gres=*) if [ "$site_gres" ]; then asked=${{argument#--gres=}}; continue; fi ;;
    esac
    set -- "$@" "$argument"
done
if [ "$site_gres" ]; then
    all=$asked
    for one in $site_gres; do
        case ,$asked, in
            *,"${{one%%:*}}",* | *,"${{one%%:*}}":*) ;;
            *) all=${{all:+$all,}}$one ;;
        esac
    done
    set -- "--gres=$all" "$@"
fi
"""


def generic_resources(text: str | None) -> list[str]:
    """Generic resources as a profile states them, ``tmpspace:10G,nvme:1``, one by one."""
    return [part for part in re.split(r"[,\s]+", (text or "").strip("'\" ")) if part]


def write_commands(
    folder: Path,
    environment: MutableMapping[str, str],
    *,
    slurm_conf: str | None = None,
    gres: str | None = None,
    no_comment: bool = False,
) -> None:
    """Write the scripts that a site needs, and put their folders on PATH.

    Args:
        folder: for ``first`` and ``last``; on a file system that nodes see.
        environment: whose PATH is changed; jobs inherit it.
        slurm_conf: SLURM_CONF as the user set it, where commands do not work without it.
        gres: the site's generic resources, which every job gets beside those it asks for.
        no_comment: whether the site refuses comments.
    """
    first, last = folder.resolve() / "first", folder.resolve() / "last"
    places = [place for place in environment.get("PATH", os.defpath).split(os.pathsep) if place]
    places = [place for place in places if Path(place) not in (first, last)]
    for old in (first, last):
        shutil.rmtree(old, ignore_errors=True)
    path = os.pathsep.join(places)
    wanted = CLIENTS if slurm_conf else ("sbatch",) if gres or no_comment else ()
    for name in wanted:
        real = shutil.which(name, path=path)
        if real is None:
            continue
        lines = "#!/bin/sh\n# Made by the study for its jobs; see chestct/jobs/slurm_commands.py.\n"
        if slurm_conf:
            quoted = shlex.quote(slurm_conf)
            lines += f"if [ -r {quoted} ]; then export SLURM_CONF={quoted}; fi\n"
        if name == "sbatch" and (gres or no_comment):
            resources = shlex.quote(" ".join(generic_resources(gres)))
            lines += _SBATCH.format(no_comment="yes" if no_comment else "", gres=resources)
        _write_script(first / name, f'{lines}exec {shlex.quote(real)} "$@"\n')
        if str(first) not in places:
            places.insert(0, str(first))
    for name in ACCOUNTING:
        if shutil.which(name, path=path) is None:
            _write_script(last / name, "#!/bin/sh\n# This site has no such command.\nexit 0\n")
            if str(last) not in places:
                places.append(str(last))
    environment["PATH"] = os.pathsep.join(places)


def _write_script(path: Path, text: str) -> None:
    write_text(path, text)
    path.chmod(0o755)


def needed_configuration(slurm_conf: str | None, environment: Mapping[str, str]) -> str | None:
    """SLURM_CONF, if Slurm's commands work with it alone; None where they do not need it."""
    if not slurm_conf:
        return None
    bare = {name: value for name, value in environment.items() if not name.startswith("SLURM_")}
    if output_of(SINFO, bare) is not None:
        return None
    return slurm_conf if output_of(SINFO, bare | {"SLURM_CONF": slurm_conf}) is not None else None


def refuses_comments(options: list[str]) -> bool:
    """Whether the site takes a job with these options of sbatch without a comment, and none with one.

    Nothing is submitted (``sbatch --test-only``).
    """
    command = ["sbatch", "--test-only", "--ntasks=1", "--output=/dev/null", *options, "--wrap=true"]
    if output_of([*command, "--comment=rule_convert_series"]) is not None:
        return False
    return output_of(command) is not None
