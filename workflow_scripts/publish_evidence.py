"""``make evidence``: what a finished study shows, copied into a folder that is kept with the project.

    python workflow_scripts/publish_evidence.py docs/evidence lidc_nodules

The names after the folder are those of the study's files in studies/, in the order of ``make study``;
without any it is the default study.
"""

import sys
from pathlib import Path

from chestct.errors import InputError
from chestct.evidence.publish import FinishedStudy, publish
from chestct_command.project import read_configuration


def main(folder: str, *names: str) -> None:
    """Publish the study of these files; a study that is not finished stops with the reason."""
    configuration = read_configuration(Path(), names)
    study = FinishedStudy(
        configuration=configuration,
        results=Path("results") / configuration["study"],
        data=Path(configuration["data_dir"]),
    )
    chosen = f' STUDY="{" ".join(names)}"' if names else ""
    for path in publish(study, Path(folder), f"make study{chosen}"):
        print(path)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python workflow_scripts/publish_evidence.py FOLDER [STUDY ...]")
    try:
        main(*sys.argv[1:])
    except (InputError, OSError) as error:
        sys.exit(str(error))
