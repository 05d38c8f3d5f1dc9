"""A command ends in its exit status and at most one message, whatever becomes of its output."""

import subprocess
import sys

import pytest

from chestct.errors import InputError
from chestct.exit_status import exit_status

PROGRAM = """
import sys
from chestct.exit_status import exit_status

def command():
    print("a line")
    return 3

sys.exit(exit_status(command))
"""


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "told", "status", "message"),
    [
        (KeyboardInterrupt(), (), 130, "stopped"),
        (InputError("no room", where="/a", expected="room", remedy="make some"), (), 1, "ERROR: no room"),
        (PermissionError(13, "Permission denied"), (), 1, "ERROR: [Errno 13]"),
        (RuntimeError("odd"), (RuntimeError,), 1, "ERROR: odd"),
    ],
)
def test_what_ends_a_command_is_one_message(capsys, error, told, status, message):
    assert exit_status(raising(error), *told) == status
    assert capsys.readouterr().err.startswith(message)


def test_errors_of_the_program_keep_their_traceback():
    with pytest.raises(RuntimeError):
        exit_status(raising(RuntimeError("odd")))


@pytest.mark.parametrize(("closed", "status"), [("{command} | true", 141), ("{command} >&- 2>&-", 3)])
def test_output_that_nobody_reads_is_no_error(closed, status):
    # The program is held back until `true` has ended: then its output is a pipe that nobody has open.
    until_closed = "import select; end = select.poll(); end.register(1, 0); end.poll()\n" * ("|" in closed)
    command = f"{sys.executable} -c '{until_closed}{PROGRAM}'"
    script = f"set -o pipefail; {closed.format(command=command)}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (status, "")
