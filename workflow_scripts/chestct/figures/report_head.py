"""The report's head: when and from which state of the workflow it was made, and what its datasets ask."""

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chestct import __version__
from chestct.dataset_entries import label_words, meaning_of

_PROJECT = Path(__file__).resolve().parents[3]
_PATIENCE_S = 20


def made_of(project: str | Path = _PROJECT) -> list[str]:
    """Date, version and, where Git knows it, the commit of the workflow that makes a report.

    Args:
        project: folder of the workflow.
    """
    commit = _git(project, "rev-parse", "--short=10", "HEAD")
    # The folder may lie in a repository of another project.
    if not commit or Path(_git(project, "rev-parse", "--show-toplevel")).resolve() != Path(project).resolve():
        commit = ""
    changed = commit and _git(project, "status", "--porcelain", "--untracked-files=no")
    words = [datetime.now(UTC).date().isoformat(), f"version {__version__}"]
    if commit:
        words.append(f"commit {commit}{', with changes' if changed else ''}")
    return words


def _git(project: str | Path, *words: str) -> str:
    """What Git answers; empty where there is no Git, or no repository."""
    try:
        command = ["git", "-C", str(project), *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def datasets_line(entries: Iterable[Mapping[str, Any]]) -> str:
    """The datasets, each with its title and what a positive label means, as far as the configuration says.

    Args:
        entries: of the datasets, as in the configuration.
    """
    words = []
    for entry in entries:
        title = f" ({entry['title']})" if "title" in entry else ""
        meaning = label_words(dict(entry)) if "columns" in entry else meaning_of(dict(entry))
        words.append(f"{entry['name']}{title}{f': {meaning}' if meaning else ''}")
    return "; ".join(words)
