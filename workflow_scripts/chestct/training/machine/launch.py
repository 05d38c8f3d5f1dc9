"""Starts the processes that train together, and ends as they end.

A Snakemake script must not start itself once more: its log would be emptied and its work done twice. So
torch's launcher (what torchrun uses) starts ``chestct.training.machine.worker`` as often as there are GPUs;
on several nodes of a Slurm job, srun starts this module once a node, and those meet at the first one's
address.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from chestct import errors
from chestct.errors import InputError
from chestct.training.machine.preemption import SIGNALS
from chestct.training.machine.processes import Processes
from chestct.training.windows.loader import relay

#: What every process runs.
WORKER: Sequence[str] = ("-m", "chestct.training.machine.worker")
#: Seconds that processes have to save their state once a signal came; Slurm gives 30 before it kills.
SHUTDOWN_SECONDS = 120
_FAILURE = "failure.json"


def write_failure(folder: Path, error: InputError) -> None:
    """Leave an error for the process that launched this one; the first one counts."""
    try:
        with open(folder / _FAILURE, "x", encoding="utf-8") as file:
            json.dump({"kind": type(error).__name__, "text": str(error)}, file)
    except FileExistsError:
        pass


def _raise_failure(folder: Path) -> None:
    path = folder / _FAILURE
    if path.is_file():
        failure = json.loads(path.read_text(encoding="utf-8"))
        raise relay(getattr(errors, failure["kind"]), failure["text"]) from None


def launch(function: str, job: Any, folder: Path, *, threads: int) -> bool:
    """Run a function of the training step in as many processes as a job asks for, if this one is not enough.

    Args:
        function: its name in ``chestct.training.machine.worker``.
        job: what it is given: a dataclass with ``settings``, ``gpus`` (of every node, a process each; 0: CPU)
            and ``processes`` (that train together on every node where there are no GPUs).
        folder: of the results, on a file system that all nodes see.
        threads: CPU threads of all processes of a node.

    Returns:
        Whether the work is done; if not, this process itself must do it.

    Raises:
        InputError: what a process raised, or there are no such nodes.
        SystemExit: a signal asked the job to end; states are saved.
    """
    nodes, processes = job.settings.nodes, job.gpus or job.processes
    if processes * nodes <= Processes.current().world:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".launch-") as name:
        place = Path(name)
        request = {"function": function, "job": asdict(job), "folder": str(folder), "gpus": job.gpus}
        request |= {"processes": processes, "nodes": nodes, "threads": max(1, threads // processes)}
        (place / "request.json").write_text(json.dumps(request), encoding="utf-8")
        try:
            if nodes == 1:
                run_node(place, "localhost:0")
            else:
                _run_nodes(place, nodes)
        except (ChildFailedError, subprocess.CalledProcessError) as error:
            _raise_failure(place)
            codes = [failure.exitcode for failure in getattr(error, "failures", {}).values()]
            if codes and all(code in {128 + number for number in SIGNALS} for code in codes):
                raise SystemExit(codes[0]) from None
            raise RuntimeError(f"a training process ended: {error}") from None
    return True


def run_node(place: Path, endpoint: str) -> None:
    """Start the processes of this node and wait for them.

    Args:
        place: folder with request.json.
        endpoint: host and port where the nodes meet.
    """
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    # The processes import this very package, whichever Python finds first elsewhere.
    path = [str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    os.environ["OMP_NUM_THREADS"] = str(request["threads"])
    for name in ("torch.distributed.elastic", "torchelastic-events-null"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they report, this module raises
    alone = request["nodes"] == 1
    config = LaunchConfig(
        min_nodes=request["nodes"],
        max_nodes=request["nodes"],
        nproc_per_node=request["processes"],
        run_id=place.name,
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint,
        # A name that resolves; a machine's own need not.
        local_addr="localhost" if alone else None,
        max_restarts=0,
        signals_to_handle=",".join(number.name for number in (*SIGNALS, signal.SIGINT)),
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        _start(config, place)
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None


def _start(config: LaunchConfig, place: Path) -> None:
    elastic_launch(config, sys.executable)(*WORKER, str(place))


def _run_nodes(place: Path, nodes: int) -> None:
    if "SLURM_JOB_ID" not in os.environ:
        raise InputError(
            f"training on {nodes} nodes needs a Slurm job, and this is not one",
            where="configuration key 'training.nodes'",
            expected="a job on that many nodes (snakemake --workflow-profile profiles/slurm)",
            remedy="set training.nodes to 1, or run the study on the cluster",
        )
    with socket.socket() as free:
        free.bind(("", 0))
        endpoint = f"{socket.gethostname()}:{free.getsockname()[1]}"
    command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--overlap"]
    command += [
        "--kill-on-bad-exit=1",
        sys.executable,
        "-m",
        "chestct.training.machine.launch",
        str(place),
        endpoint,
    ]
    process = subprocess.Popen(command)
    received = 0

    def forward(number: int, _: FrameType | None) -> None:
        nonlocal received
        received = number
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise SystemExit(128 + received)
    if code:
        raise subprocess.CalledProcessError(code, command[0])


if __name__ == "__main__":
    run_node(Path(sys.argv[1]), sys.argv[2])
