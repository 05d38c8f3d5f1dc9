"""A real Slurm on this machine: munge, a controller, four nodes with two pretended GPUs each.

Everything lies in one temporary folder and listens on free ports of the loopback address; nothing of a Slurm
that the machine may have is touched.
"""

import ctypes
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
#: What Snakemake's plugin and the training step call. The plugin removes SLURM_* variables before its
#: inner srun, so that the configuration's place must come back with every call.
CLIENTS = ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol", "sacct")
#: n1 and n2 run studies; to jobs on n3 and n4 (partition troubled) things happen.
NODES = ("n1", "n2", "n3", "n4")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1,sched_min_interval=200000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
SlurmdTimeout=300
MinJobAge=600
JobRequeue=0
AccountingStorageType=accounting_storage/none
GresTypes=gpu,tmpspace,nvme
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n1} CPUs=4 RealMemory=8000 Gres={gres}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n2} CPUs=4 RealMemory=8000 Gres={gres}
NodeName=n3 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n3} CPUs=8 RealMemory=8000 Gres=gpu:fake:2
NodeName=n4 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_n4} CPUs=4 RealMemory=8000 Gres=gpu:fake:2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=UNLIMITED DefaultTime=5 DefMemPerCPU=200 PriorityTier=1
PartitionName=troubled Nodes=n3,n4 MaxTime=UNLIMITED DefaultTime=5 DefMemPerCPU=200 PriorityTier=1
PartitionName=short Nodes=n1,n2 MaxTime=30 DefaultTime=5 DefMemPerCPU=200 PriorityTier=1
PartitionName=urgent Nodes=n3,n4 MaxTime=UNLIMITED DefaultTime=5 DefMemPerCPU=200 PriorityTier=10
"""
#: Of n1 and n2: GPUs, and what sites have beside them.
GRES = "gpu:fake:2,tmpspace:no_consume:100G,nvme:no_consume:2"


def missing() -> str | None:
    """Why no cluster can be started here; None if it can."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin" * ("/usr/sbin" not in os.environ["PATH"].split(":"))
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): Debian's packages slurm-wlm and munge"
    if os.geteuid() != 0:
        return "a Slurm of one's own is started as root, and these tests are not"
    return None


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """For a process that starts: it ends with the tests, even where those are killed."""
    ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def free_ports(number: int) -> list[int]:
    """Different ports that nothing listens on.

    They lie below the range from which systems take the ports of outgoing connections: a controller
    that calls a node before it listens could otherwise get the same port, and talk with itself.
    """
    ports: list[int] = []
    while len(ports) < number:
        port = random.randrange(10_000, 30_000)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports += [port] * (port not in ports)
    return ports


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        folder: of configuration, state, logs and the wrappers in bin/.
    """

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        """The folder that comes first on PATH."""
        return self.folder / "bin"

    def start(self) -> None:
        """Start all daemons and wait until all nodes are idle.

        Raises:
            RuntimeError: they did not come up; the message has the ends of their logs.
        """
        self._configure()
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        places["seed-file"] = "seed"
        self._start(
            "munged", "--force", "--foreground", *(f"--{name}={munge / at}" for name, at in places.items())
        )
        self._wait(lambda: (munge / "socket").exists())
        self._start("slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: self.states() == dict.fromkeys(NODES, "IDLE"))

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._start(f"slurmd-{node}", "-D", "-N", node, program="slurmd")

    def stop(self) -> None:
        """End all jobs and daemons, whatever state they are in."""
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            subprocess.run(
                [self.bin / "scancel", "--user=root"], timeout=300, check=False, capture_output=True
            )
        for process in reversed(self.daemons.values()):
            if process.poll() is None:
                process.terminate()
        for process in self.daemons.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for node in NODES:
            self._kill_processes_of(node)

    def kill_node(self, node: str) -> None:
        """What a power cut does to a node: its daemon and all that runs there end, and Slurm is told."""
        self.daemons[f"slurmd-{node}"].kill()
        self.daemons[f"slurmd-{node}"].wait()
        self._kill_processes_of(node)
        # By itself Slurm waits for as long as a node may be busy (SlurmdTimeout).
        self.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=dead")

    def command(self, *arguments: str) -> str:
        """Output of a Slurm command."""
        done = subprocess.run(
            [self.bin / arguments[0], *arguments[1:]], capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of every node."""
        lines = self.command(
            "sinfo", "--Node", "--noheader", "--format=%N %T", "--partition=main,troubled"
        ).split("\n")
        return {name: state.upper() for name, state in (line.split() for line in lines if line)}

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """Jobs that the controller knows, with their fields: id, state, partition, comment, name, user..."""
        fields = ("id", "state", "name", "comment", "nodes", "reason", "restarts", "gpus")
        asked = "JobArrayID:;,State:;,Name:;,Comment:;,NodeList:;,Reason:;,RestartCnt:;,tres-per-job:"
        lines = self.command(
            "squeue", "--noheader", f"--states={','.join(states) or 'all'}", f"--Format={asked}"
        ).splitlines()
        return [dict(zip(fields, line.split(";"), strict=True)) for line in lines]

    def environment(self) -> dict[str, str]:
        """Variables of a user of this cluster."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {"PATH": f"{self.bin}:{os.environ['PATH']}"}

    def _configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir()
        values: dict[str, object] = {"folder": self.folder, "host": socket.gethostname().split(".")[0]}
        names = ["controller_port", *(f"port_{node}" for node in NODES)]
        values |= dict(zip(names, free_ports(len(names)), strict=True))
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(gres=GRES, **values))
        for number in range(2):
            # Any character device will do; that of /dev/null needs no GPU.
            os.mknod(self.folder / f"gpu{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        gres = f"NodeName=n[1-4] Name=gpu Type=fake File={self.folder}/gpu[0-1]\n"
        gres += "NodeName=n[1-2] Name=tmpspace Count=100G Flags=CountOnly\n"
        gres += "NodeName=n[1-2] Name=nvme Count=2 Flags=CountOnly\n"
        (self.folder / "gres.conf").write_text(gres)
        self.bin.mkdir()
        for name in CLIENTS:
            script = f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n'
            (self.bin / name).write_text(script)
            (self.bin / name).chmod(0o755)

    def _start(self, name: str, *arguments: str, program: str | None = None) -> None:
        environment = self.environment() | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        environment["DAEMON_OF_NODE"] = name.removeprefix("slurmd-")
        with open(self.folder / f"{name}.out", "ab") as output:
            self.daemons[name] = subprocess.Popen(
                [program or name, *arguments],
                env=environment,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                preexec_fn=end_with_parent,
            )

    def _wait(self, ready, seconds: float = 300) -> None:
        deadline, ended = time.monotonic() + seconds, []
        while not ended and time.monotonic() < deadline:
            ended = [name for name, process in self.daemons.items() if process.poll() is not None]
            try:
                if not ended and ready():
                    return
            except (RuntimeError, ValueError):
                pass
            time.sleep(0.2)
        ends = [f"== {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log")]
        ends += [f"== {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.out")]
        raise RuntimeError(f"the cluster did not start (ended: {ended})\n" + "\n".join(ends))

    def _kill_processes_of(self, node: str) -> None:
        """Kill what a node of this cluster started: those processes carry its name and our paths."""
        place = str(self.folder).encode()
        steps, jobs = (f"{name}={node}\0".encode() for name in ("DAEMON_OF_NODE", "SLURMD_NODENAME"))
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                if place in environment and (steps in environment or jobs in environment):
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                continue
