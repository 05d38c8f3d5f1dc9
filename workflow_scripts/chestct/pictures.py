"""Which scans may be shown in what is passed on: none that may have a name burned into its pixels."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from chestct.dataset_entries import Entry

#: What headers say of a scan (column ``burned_in_annotation`` of the ledger), which else is empty.
YES, NO = "yes", "no"
#: What a dataset says of scans whose headers say nothing: nothing is burned in, or nobody knows.
ABSENT, UNKNOWN = "absent", "unknown"


def of_headers(values: Iterable[str]) -> str | None:
    """What the headers of a scan say together.

    Args:
        values: BurnedInAnnotation of every file, in upper case, empty where it is absent.

    Returns:
        ``YES`` where one file says so, ``NO`` where all say that, None otherwise.
    """
    found = set(values)
    return YES if "YES" in found else NO if found == {"NO"} else None


def of_dataset(entry: Entry) -> str:
    """What holds for the scans of a dataset whose headers say nothing.

    The publishers of RSPECT and LIDC-IDRI looked at the pixels of all scans before they published them, and
    phantoms are of nobody. Of a user's own scans nobody knows, unless the user says so.
    """
    return str(entry.get("burned_in_annotation", UNKNOWN if entry.get("source") == "own_data" else ABSENT))


def may_be_shown(burned_in: Any, otherwise: str) -> bool:
    """Whether a scan may be shown.

    Args:
        burned_in: as of the ledger: ``YES``, ``NO`` or missing.
        otherwise: ``ABSENT`` or ``UNKNOWN``, where it is missing.
    """
    return otherwise == ABSENT if pd.isna(burned_in) else burned_in == NO
