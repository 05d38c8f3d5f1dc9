"""Jobs that wait in Slurm's queue and will never start, as the reason that Slurm gives tells."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from chestct.status.slurm_queue import job_states

#: Reasons that do not pass by themselves, and what to do; the first that fits counts.
_REASONS = {
    r"PartitionTimeLimit": (
        "they ask for more time than the partition gives: stop the run, set max_runtime in "
        "profiles/slurm/config.yaml to the partition's limit, and start it again"
    ),
    r".*launch failed.*|.*user env retrieval failed.*": (
        "a node could not start them, often because it does not have the working directory or the home, or "
        "is broken: tell the site, then `scontrol release NUMBER`, or stop the run and start it again"
    ),
    r"JobHeld(User|Admin)|.*requeued in held state.*|JobHoldMaxRequeue": (
        "they are held: `scontrol release NUMBER` lets them go, if you or the site may"
    ),
    r"PartitionNodeLimit|BadConstraints|.*configuration is not available.*": (
        "no node of the partition has what they ask for: compare memory, GPUs and gpu_type in "
        "profiles/slurm/config.yaml with `sinfo -o '%P %l %m %c %G'`"
    ),
    r"Invalid(Account|QOS)|(Account|QOS)NotAllowed": (
        "account or QOS may not be used there: correct slurm_account, slurm-qos or the partition in "
        "profiles/slurm/config.yaml"
    ),
    r"(QOS|Assoc)(Max|Min)\w*PerJob\w*|MaxMemPerLimit": (
        "they ask for more than your account or QOS gives one job: set max_runtime or max_mem_mb in "
        "profiles/slurm/config.yaml"
    ),
    r"PartitionInactive|PartitionDown": "the partition is closed: wait, or name another one",
}
_SHOWN = 5


def stuck_jobs(states: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """A sentence for every reason for which jobs will never start.

    Args:
        states: state and reason of jobs by number, as of ``slurm_queue.job_states``.
    """
    waiting: dict[str, list[str]] = {}
    for number, (state, reason) in states.items():
        if state == "pending":
            waiting.setdefault(reason.strip("() "), []).append(number)
    found = {}
    for reason, numbers in waiting.items():
        cure = next((cure for known, cure in _REASONS.items() if re.fullmatch(known, reason, re.I)), None)
        if cure:
            more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
            shown = ", ".join(numbers[:_SHOWN]) + more
            found[reason] = f"Slurm job(s) {shown} will not start ({reason}): {cure}."
    return found


def watch(
    folder: Path,
    say: Callable[[str], None],
    *,
    seconds: float = 60.0,
    states: Callable[[Path], Mapping[str, tuple[str, str]]] = job_states,
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Look at the queue every so often and say, once for each reason, which jobs will never start.

    Args:
        folder: working directory of the run.
        say: called with a sentence.
        seconds: between two looks.
        states: what is looked at.
        over: whether to end.
    """
    said: set[str] = set()
    while not over():
        time.sleep(seconds)
        for reason, sentence in stuck_jobs(states(folder)).items():
            if reason not in said:
                said.add(reason)
                say(sentence)
