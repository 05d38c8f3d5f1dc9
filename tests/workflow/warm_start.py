"""Commands of the workflow, started from a process that has their libraries imported.

More than half of a dry run's time is the import of Snakemake and pandas. Run as a script, this file imports
them, and for every request in its input forks a process that goes on as a new one would: in a folder, with an
environment, an output and an exit status of its own. The workflow's own package is imported after the fork,
from the folder's copy of it.
"""

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

#: Libraries that Snakemake and the rule files import, Snakemake some of them only as it reads the rules.
LIBRARIES = (
    "snakemake.cli",
    "snakemake.report.html_reporter",
    "pandas",
    "scipy.ndimage",
    "smart_open",
    "yte",
    "jsonschema",
)


def run_warm(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``snakemake`` or a Python script like ``subprocess.run`` with captured output.

    Args:
        arguments: the command and its own: "snakemake" or the path of a script, from the folder.
        folder: working folder.
        environment: of the process; its PYTHONPATH holds too.
    """
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as place:
        outputs = [Path(place) / name for name in ("stdout", "stderr")]
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": environment,
            "outputs": [str(path) for path in outputs],
        }
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(path.read_text() for path in outputs))


@cache
def _server() -> subprocess.Popen[str]:
    """The process that has the libraries; it ends with its input, and so with this process."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # whose threads would not survive a fork
    server = subprocess.Popen(
        [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.communicate)
    return server


def _serve() -> None:
    for name in LIBRARIES:
        import_module(name)
    own = [name for name in sys.modules if name.startswith(("chestct", "snakemake_logger_plugin_chestct"))]
    assert not own, f"{own} would hide a copy's package"
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return _start(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _start(arguments: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> None:
    """Become the process that was asked for."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.path[:1] = [
        str(Path(path).resolve()) for path in environment.get("PYTHONPATH", "").split(":") if path
    ]
    sys.argv = arguments
    if arguments[0] == "snakemake":
        sys.exit(sys.modules["snakemake.cli"].main())
    sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _serve()
