import pandas as pd

from chestct.figures.failure_pictures import _shown_stores
from chestct.pictures import may_be_shown, of_dataset
from chestct.tables import column_types, write_table


def test_the_header_decides_and_else_the_dataset():
    assert not may_be_shown("yes", "absent") and not may_be_shown("yes", "unknown")
    assert may_be_shown("no", "absent") and may_be_shown("no", "unknown")
    assert may_be_shown(None, "absent") and not may_be_shown(None, "unknown")


def test_of_a_users_own_scans_nobody_knows():
    assert of_dataset({"source": "own_data"}) == "unknown"
    assert of_dataset({"source": "own_data", "burned_in_annotation": "absent"}) == "absent"
    assert of_dataset({"source": "rspect"}) == "absent"
    assert of_dataset({"source": "lidc_idri", "burned_in_annotation": "unknown"}) == "unknown"


def test_failures_are_shown_of_scans_that_may_be(tmp_path):
    said = {"clean": "no", "named": "yes", "silent": None}
    ledger = pd.DataFrame({"study_id": said.keys(), "burned_in_annotation": said.values()})
    columns = dict.fromkeys(column_types("index"), 1)
    index = pd.DataFrame([columns | {"study_id": name, "store": f"{name}.h5"} for name in said])
    write_table(index, tmp_path / "index.csv", "index")
    for policy, shown in (("absent", ["clean", "silent"]), ("unknown", ["clean"])):
        stores = _shown_stores(ledger, tmp_path / "index.csv", policy)
        assert list(stores.index) == shown and stores["clean"] == "clean.h5"
