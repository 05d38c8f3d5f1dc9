"""Log of a workflow script: standard output and error go to the rule's log file.

An ``InputError`` ends the script with its message alone, without a traceback, and a non-zero exit.
"""

import logging
import os
import sys
import warnings
from contextlib import suppress
from types import TracebackType

from chestct.errors import InputError

#: Longest silence in a log, s, where a step is not longer itself.
REPORT_SECONDS = 10.0


def set_up_log(path: str, *, level: int = logging.INFO) -> None:
    """Send logging, standard output and standard error of this process to ``path``.

    The last lines of a failing job's log are shown by Snakemake (``show-failed-logs``).
    """
    stream = open(path, "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
    # Messages name scans and paths: like the tables, they are closed to users outside the owner's group.
    with suppress(OSError):
        os.fchmod(stream.fileno(), os.fstat(stream.fileno()).st_mode & 0o770)
    # By file descriptor: libraries keep the streams they found when they were imported.
    for descriptor in (1, 2):
        os.dup2(stream.fileno(), descriptor)
    sys.stdout = stream
    sys.stderr = stream
    logging.basicConfig(
        level=level, stream=stream, format="%(asctime)s %(levelname)s %(message)s", force=True
    )

    # pydicom quotes values of headers, which may be names, in what it warns of.
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    logging.getLogger("pydicom").setLevel(logging.ERROR)

    def on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, InputError):
            print(f"ERROR: {error}", file=stream, flush=True)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = on_error
