"""What to cite: facts about sources and weights, for which nothing is fetched or listed."""

from collections.abc import Sequence
from pathlib import Path

from chestct.download.datasets import manifest_facts
from chestct.download.manifest import citations_text
from chestct.download.weights_table import weights_row
from chestct.run_grid import iter_weights_ids
from chestct_command.project import read_configuration


def citations(folder: Path, names: Sequence[str]) -> str:
    """What a publication that uses a study's data and weights is to cite, as Markdown.

    Raises:
        InputError: there is no such study, or its configuration cannot be used.
    """
    configuration = read_configuration(folder, names)
    facts = [manifest_facts(entry) for entry in configuration["datasets"]]
    return citations_text(facts, [weights_row(name) for name in iter_weights_ids(configuration)])
