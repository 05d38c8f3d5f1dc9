"""The project that a command works on: its folder, its studies, the configuration of one of them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakemake.utils import update_config

from chestct.check_configuration import check_configuration
from chestct.dataset_entries import resolve_entries
from chestct.errors import InputError
from chestct.near_words import near, suggestion
from chestct.yaml_file import read_yaml

#: How the file of a study says that it is laid over another, not over the default study.
_OVER = re.compile(r"^#.*An overlay over ([a-z0-9_]+)\.yaml", re.MULTILINE)
_MARKS = ("Snakefile", "config.yaml", "workflow_scripts")
DEFAULT = "default"


def project_folder(start: Path | None = None) -> Path:
    """The folder with the Snakefile: that which holds ``start``, else the one that this package lies in.

    Args:
        start: where to look first, upwards; the working directory by default.

    Raises:
        InputError: neither is one.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, Path(__file__).resolve().parents[2]):
        if all((folder / name).exists() for name in _MARKS):
            return folder
    raise InputError(
        "this is not the folder of the project",
        where=start,
        expected=f"a folder with {', '.join(_MARKS)}",
        remedy="change to the folder that you cloned, and give the command again",
    )


def list_studies(folder: Path) -> dict[str, str]:
    """Names of the studies that ``studies/`` holds, in order, with the first sentence of each one's file."""
    return {path.stem: _first_sentence(path) for path in sorted((folder / "studies").glob("*.yaml"))}


def _first_sentence(path: Path) -> str:
    comments: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        if comments and line == "#":  # the end of its first paragraph
            break
        comments.append(line.lstrip("# ").strip())
    first = " ".join(comments)
    return re.split(r"(?<=[.:?]) +(?=[A-Z`])", first)[0].rstrip(":")


def check_studies(folder: Path, names: Sequence[str]) -> None:
    """Stop where a name is no study, or an overlay over another that is not given before it.

    Raises:
        InputError: lists those that there are, the nearest first.
    """
    known = list_studies(folder)
    for place, name in enumerate(names):
        if name in known:
            _check_base(folder, names[:place], name)
            continue
        if name == DEFAULT and len(names) == 1:
            continue
        similar = near(name, known)
        listed = "".join(f"\n    {study}: {what}" for study, what in known.items())
        raise InputError(
            f"there is no study '{name}'",
            where=folder / "studies" / f"{name}.yaml",
            expected=f"no name, for the default study, or one of{listed}",
            remedy=suggestion(name, similar) if similar else "take one of these, or write that file",
        )


def _check_base(folder: Path, before: Sequence[str], name: str) -> None:
    path = folder / "studies" / f"{name}.yaml"
    base = _OVER.search(path.read_text(encoding="utf-8", errors="replace"))
    if base is not None and base[1] not in before:
        raise InputError(
            f"the study '{name}' is an overlay over '{base[1]}', and changes nothing else",
            where=path,
            expected=f"both names, in this order: {base[1]} {name}",
            remedy=f'with make: STUDY="{base[1]} {name}"',
        )


def check_profile(folder: Path, name: str) -> None:
    """Stop where a name is no profile: Snakemake would then run on this machine.

    Raises:
        InputError: lists those that there are.
    """
    known = sorted(path.parent.name for path in folder.glob("profiles/*/config.yaml"))
    if name in known:
        return
    similar = near(name, known)
    raise InputError(
        f"there is no profile '{name}'",
        where=folder / "profiles" / name,
        expected=f"one of {', '.join(known)}; without --profile the run is on this machine",
        remedy=suggestion(name, similar) if similar else "take one of these, or write that folder",
    )


def configuration_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The overlays of a study, in the order in which they go over ``config.yaml``.

    Raises:
        InputError: there is no such study.
    """
    check_studies(folder, names)
    return [folder / "studies" / f"{name}.yaml" for name in names if name != DEFAULT]


def read_configuration(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """The whole configuration of a study, checked, its datasets resolved.

    Args:
        folder: of the project.
        names: of its overlays, in order; none is the default study.

    Raises:
        InputError: there is no such study, its file is no YAML, or its configuration cannot be used.
    """
    configuration = read_yaml(folder / "config.yaml")
    for path in configuration_files(folder, names):
        update_config(configuration, read_yaml(path))
    check_configuration(configuration)
    configuration["datasets"] = resolve_entries(configuration["datasets"])
    return configuration
