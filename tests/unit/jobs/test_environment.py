"""What jobs inherit from a shell that is not as usual."""

import os
import pwd
import subprocess
import sys

import pytest

from chestct.jobs import environment
from chestct.jobs.environment import prepare_environment


def prepared(tmp_path, **given):
    found = dict(given)
    prepare_environment(found, tmp_path / "packages", tmp_path / "work")
    return found


def test_an_ordinary_shell_keeps_its_home_and_its_name(tmp_path):
    (tmp_path / "home").mkdir()
    found = prepared(tmp_path, HOME=str(tmp_path / "home"), USER="someone", OTHER="x")
    expected = {"HOME": str(tmp_path / "home"), "USER": "someone", "OTHER": "x", "PYTHONNOUSERSITE": "1"}
    assert found == expected | {"PYTHONPATH": str(tmp_path / "packages")}
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("home", ["/proc", "/nowhere/at/all", None])
def test_a_home_that_cannot_be_written_to_holds_no_caches(tmp_path, monkeypatch, home):
    if home is None:
        monkeypatch.setattr(environment.pwd, "getpwuid", lambda number: {}[number])
    found = prepared(tmp_path, USER="x", **({} if home is None else {"HOME": home}))
    assert found["XDG_CACHE_HOME"].startswith(str(tmp_path / "work"))
    assert found["MPLCONFIGDIR"].startswith(str(tmp_path / "work"))
    assert found["HOME"] == (home or str(tmp_path / "work")), "keys and tokens that lie there are still read"


def test_caches_that_the_user_chose_stay(tmp_path):
    assert prepared(tmp_path, HOME="/proc", USER="x", MPLCONFIGDIR="/mine")["MPLCONFIGDIR"] == "/mine"


def test_a_user_without_an_entry_has_a_number_for_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.pwd, "getpwuid", lambda number: {}[number])
    assert prepared(tmp_path, HOME=str(tmp_path))["LOGNAME"] == str(os.getuid())


def test_a_foreign_package_path_reaches_no_job(tmp_path):
    (tmp_path / "foreign" / "pandas").mkdir(parents=True)
    (tmp_path / "foreign" / "pandas" / "__init__.py").write_text("raise ImportError('a foreign pandas')")
    found = prepared(tmp_path, **os.environ | {"PYTHONPATH": str(tmp_path / "foreign")})
    done = subprocess.run(
        [sys.executable, "-c", "import yaml, sys; print(sys.path)"], env=found, capture_output=True
    )
    assert done.returncode == 0 and str(tmp_path / "foreign").encode() not in done.stdout
    assert pwd.getpwuid(0), "the list of users is as it was"
