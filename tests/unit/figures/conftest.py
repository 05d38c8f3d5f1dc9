from pathlib import Path

import pytest
from synthetic_study import Study, make_study

from chestct.figures.study_tables import StudyTables, read_study


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory):
    """Synthetic studies by kind, each written once per session."""
    made: dict[str, Study] = {}

    def get(kind: str) -> Study:
        if kind not in made:
            folder: Path = tmp_path_factory.mktemp(kind)
            made[kind] = make_study(kind, folder, num_resamples=100)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def tables(studies):
    """Tables of synthetic studies by kind, read once per session; tests leave them as they are."""
    read: dict[str, StudyTables] = {}

    def get(kind: str) -> StudyTables:
        if kind not in read:
            read[kind] = read_study(**studies(kind).inputs)
        return read[kind]

    return get
