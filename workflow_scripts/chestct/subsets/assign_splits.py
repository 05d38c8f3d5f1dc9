"""Which way a dataset's patients are split: by shares or folds, by a group, or all for testing."""

from typing import Any

from chestct.few_tested import Split, few_tested_words
from chestct.subsets.groups import split_by_group
from chestct.subsets.splits import all_for_testing, split_patients
from chestct.tables import read_table, write_table


def write_splits(
    *,
    cohort: str,
    acquisition: str | None,
    output: str,
    use: dict[str, Any],
    shares: dict[str, float],
    folds: int,
    seed: int,
) -> None:
    """Read the cohort, write its splits; a small test set gives a line that begins with WARNING.

    Args:
        cohort: table of the dataset.
        acquisition: table of the dataset, where a group is left out.
        output: table to write.
        use: of the dataset's entry: ``train``, and ``split_by`` with ``test_group`` where given.
        shares, folds, seed: see ``split_patients``.

    Raises:
        InputError: see ``split_patients`` and ``split_by_group``.
    """
    table = read_table(cohort, "cohort")
    way: Split = "shares"
    if not use["train"]:
        way, splits = "none", all_for_testing(table)
    elif acquisition is not None:
        way = "group"
        splits = split_by_group(
            table,
            read_table(acquisition, "acquisition"),
            column=use["split_by"],
            group=use["test_group"],
            shares=shares,
            seed=seed,
        )
    else:
        splits = split_patients(table, shares=shares, folds=folds, seed=seed)
    write_table(splits, output, "splits")
    print(splits.groupby(["fold", "split", "label"]).size())
    if words := few_tested_words(splits, way):
        print(f"WARNING: {words}")
