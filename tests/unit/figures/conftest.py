from pathlib import Path

import pytest
from synthetic_study import Study, make_study


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory):
    """Made-up studies by kind, each written once a session."""
    made: dict[str, Study] = {}

    def get(kind: str) -> Study:
        if kind not in made:
            folder: Path = tmp_path_factory.mktemp(kind)
            made[kind] = make_study(kind, folder, num_resamples=50)
        return made[kind]

    return get
