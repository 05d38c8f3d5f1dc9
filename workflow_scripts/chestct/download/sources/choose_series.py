"""Which series of a study is taken where a study holds several."""

import pandas as pd


def one_series_per_study(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose one series of every study: original images before those that were made later, these before
    derived ones and scouts, then the one with most slices, then the first by ``series_id``.

    Args:
        table: study_id, series_id, num_instances, and ``original`` where the source tells it: the higher,
            the rather a series is taken (``chestct.image_type.rank_of_image``).

    Returns:
        The chosen rows and the others, both in the order of the table; the others have the reason
        ``second_series``.
    """
    keys = [column for column in ("original", "num_instances") if column in table]
    ranked = table.sort_values([*keys, "series_id"], ascending=[*(False for _ in keys), True])
    chosen = ~ranked["study_id"].duplicated().reindex(table.index)
    return table[chosen], table[~chosen].assign(reason="second_series")
