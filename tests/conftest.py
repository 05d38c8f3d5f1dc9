import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from chestct import records
from tests.environments import conda_here

ROOT = Path(__file__).resolve().parents[1]

# Property tests try the same examples everywhere and have no limit of time (usually it is 200 ms each): what
# they find hangs on the code alone. ``pytest --hypothesis-profile default`` tries others at every run.
settings.load_profile("ci")


#: Files that look at the smoke study's run, which takes minutes: one process makes it, and begins with it.
OF_SMOKE = tuple(f"tests/workflow/test_{name}.py" for name in ("end_to_end", "reruns", "workflow_report"))


#: Files that draw and report the same large studies: one process evaluates them.
OF_FIGURES = "tests/unit/figures/"

#: Files that unpack the same real scan and judge the same thousand readings: one process does.
OF_REAL_DATA = "tests/real/"
TOGETHER = (OF_FIGURES, OF_REAL_DATA)
SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class SharedOutByFile(LoadFileScheduling):
    """Gives the tests of a file to one process, and all of ``OF_SMOKE`` and of a folder of ``TOGETHER``."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        for folder in TOGETHER:
            if file.startswith(folder):
                return folder
        return OF_SMOKE[0] if file in OF_SMOKE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Schedule for ``make test``. (Groups by mark, which pytest-xdist 3.8 has, are lost with pytest 9.2.)"""
    return SharedOutByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins."""
    items.sort(key=lambda item: not item.nodeid.startswith(OF_SMOKE))


@pytest.fixture(autouse=True)
def a_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test is like a job, which is a process: what was read before it, it has not read.

    Nor do tests before it decide how torch computes and what it draws without a seed, or leave variables in
    the environment and handlers of signals: those that a launched training sets of its process.
    """
    monkeypatch.setattr(records, "_read", {})
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(False)
    before, handlers = dict(os.environ), {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real CT data, which is no part of the project; tests that need it skip without."""
    folder = Path(os.environ.get("CHESTCT_SHARED", ROOT.parent / "shared"))
    if not (folder / "real_ct").is_dir():
        pytest.skip(f"no real CT data at {folder} (set CHESTCT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def in_environments(root: Path, tmp_path_factory: pytest.TempPathFactory) -> conda_here.StudyInEnvironments:
    """A small study that ran in environments made by conda; tests that need it skip without conda."""
    reason = conda_here.missing(root)
    if reason:
        pytest.skip(reason)
    return conda_here.run_study(root, tmp_path_factory.mktemp("conda"))
