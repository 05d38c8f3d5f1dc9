"""A shard of volumes that two datasets of a study share: stored once, with tables of its own for each."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chestct.files import atomic_path
from chestct.shard_files import write_errors
from chestct.tables import read_table, write_table

#: Tables of a shard.
TABLES = ("index", "slices", "ledger", "acquisition")


def share_shard(
    dataset: str,
    *,
    store: str | Path,
    tables: Mapping[str, str | Path],
    store_path: str | Path,
    table_paths: Mapping[str, str | Path],
) -> None:
    """Give a dataset the shard of another that holds the same scans, converted alike.

    The store becomes a second name of the same file (a hard link), or a copy where the disk knows none.

    Args:
        dataset: name in the tables.
        store: shard of the other dataset.
        tables: its ``TABLES``, by name.
        store_path: shard to write.
        table_paths: tables to write, by name.

    Raises:
        InputError: a table is missing or broken, or the outputs can't be written.
    """
    with write_errors(store_path):
        Path(store_path).unlink(missing_ok=True)
        try:
            os.link(store, store_path)
        except OSError:
            with atomic_path(store_path) as temporary:
                shutil.copyfile(store, temporary)
    for name in TABLES:
        table = read_table(tables[name], name)
        own = {"dataset": dataset, "store": str(store_path)}
        table = table.assign(**{column: value for column, value in own.items() if column in table})
        write_table(table, table_paths[name], name)
