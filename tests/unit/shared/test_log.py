import subprocess
import sys

SCRIPT = """
import sys
early = sys.stderr
from chestct.errors import InputError
from chestct.log import set_up_log
set_up_log(sys.argv[1])
print("progress")
print("a library's message", file=early)
raise {error}
"""
INPUT_ERROR = "InputError('label 2', where='labels.csv', expected='0 or 1', remedy='correct it')"


def run(tmp_path, error):
    log = tmp_path / "rule.log"
    code = SCRIPT.format(error=error)
    done = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    return done.returncode, log.read_text()


def test_bad_input_ends_with_its_message_alone(tmp_path):
    code, log = run(tmp_path, INPUT_ERROR)
    assert code == 1
    assert log.splitlines()[:2] == ["progress", "a library's message"]
    assert log.splitlines()[2:] == [
        "ERROR: label 2",
        "  where: labels.csv",
        "  expected: 0 or 1",
        "  remedy: correct it",
    ]


def test_other_errors_keep_their_traceback(tmp_path):
    code, log = run(tmp_path, "RuntimeError('broken')")
    assert code == 1
    assert (tmp_path / "rule.log").stat().st_mode & 0o007 == 0, "tracebacks may name scans and paths"
    assert "Traceback" in log
    assert log.splitlines()[-1] == "RuntimeError: broken"
