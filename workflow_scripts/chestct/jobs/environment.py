"""The environment that jobs inherit: what a user's shell, a cluster or a container may get wrong for them."""

import os
import pwd
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

#: Caches of libraries, which lie in the user's home unless these say otherwise.
_CACHES = ("XDG_CACHE_HOME", "MPLCONFIGDIR")


def prepare_environment(environment: MutableMapping[str, str], packages: Path, work_dir: Path) -> None:
    """Change an environment so that jobs import what belongs to them, and find a name and a cache.

    Args:
        environment: changed in place. PYTHONPATH names the workflow's own package alone, and packages in the
            user's home are left out, so that none of them takes the place of an installed one. A user
            without an entry in the list of users (containers) gets the number for a name, and caches lie in
            the working folder where nothing can be written to the home.
        packages: folder that the workflow's own package lies in.
        work_dir: of the workflow.
    """
    environment["PYTHONPATH"] = str(packages)
    environment["PYTHONNOUSERSITE"] = "1"
    if not any(environment.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        try:
            environment["LOGNAME"] = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            environment["LOGNAME"] = str(os.getuid())
    home = environment.get("HOME")
    if home is None:
        with suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    if home is None or not _can_write(Path(home)):
        for name in _CACHES:
            environment.setdefault(name, str(work_dir / ".snakemake" / "cache" / name.lower()))
        environment.setdefault("HOME", str(work_dir))


def _can_write(folder: Path) -> bool:
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
