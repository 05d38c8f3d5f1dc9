"""How a command ends: one message and an exit status, also where its output is closed or Ctrl-C ends it."""

import os
import sys
from collections.abc import Callable

from chestct.errors import InputError

#: As shells have them: ended by SIGINT, by SIGPIPE.
STOPPED, NOBODY_READS = 130, 141


def exit_status(command: Callable[[], int], *told: type[Exception]) -> int:
    """Run a command and give its exit status: its own, or 1 and the message on standard error.

    Args:
        command: gives its own exit status.
        told: errors that are told as messages, beside ``InputError`` and ``OSError``.
    """
    messages: tuple[type[Exception], ...] = (InputError, OSError, *told)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (lives as long as the process)
    try:
        status = command()
        sys.stdout.flush()  # here, where a pipe that was closed can still be dealt with
        return status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return NOBODY_READS
    except messages as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
