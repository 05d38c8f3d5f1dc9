import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share the tests out among processes: those of a file stay together.

    So do those that look at the smoke study's run, which every process would make anew; they begin.
    """
    for item in items:
        of_smoke = "smoke" in getattr(item, "fixturenames", ())
        group = "smoke" if of_smoke else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: "smoke" not in getattr(item, "fixturenames", ()))


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
