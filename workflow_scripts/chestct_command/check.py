"""``chestct check``: whether a finished study gave what is expected of it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from chestct.errors import InputError
from chestct.evidence.publish import FinishedStudy
from chestct.records import read_recorded
from chestct_command.compare_configurations import check_configuration_of
from chestct_command.expectation import (
    deviations,
    expect,
    expectation_file,
    read_expectation,
    write_expectation,
)
from chestct_command.project import DEFAULT, read_configuration
from chestct_command.study_facts import StudyFacts, read_study_facts

#: Keys that no result depends on: where things lie, how they are fetched and drawn, what they run on.
WITHOUT = (
    "study",
    "data_dir",
    "download",
    "figures",
    "training.threads",
    "training.gpus",
    "training.nodes",
    "training.num_workers",
    "training.compile",
    "training.fast_forms",
    "training.tensorboard",
)


def check(options: argparse.Namespace, folder: Path) -> int:
    """Compare a study, or write what is expected of it; prints what was found.

    Args:
        options: studies, results, write and sources.
        folder: of the project.

    Returns:
        0 where all is as expected, else 1.

    Raises:
        InputError: the study is not finished, is damaged, has another configuration, or is not known.
    """
    if options.sources and not options.write:
        raise InputError(
            "--from goes with --write",
            where="chestct check",
            expected="chestct check --write --from FOLDER...",
            remedy="to look at results that lie elsewhere, give --results FOLDER",
        )
    configuration = read_configuration(folder, options.studies)
    name = configuration["study"]
    if options.write:
        return _write(name, options.sources or [folder / "results" / name], folder)
    expected = read_expectation(expectation_file(name))
    results = options.results or folder / "results" / name
    newer = check_configuration_of(
        name, expected.configuration, configuration, where="the study's configuration", without=WITHOUT
    )
    found = read_study_facts(_study(folder, options.studies, results))
    lines, number = deviations(expected, found)
    for line in lines:
        print(f"NOT as expected: {line}")
    for note in [*found.notes, *(f"{key} is newer than what is expected" for key in newer)]:
        print(f"Note: {note}")
    print(f"{name}: {number - len(lines)} of {number} as expected")
    print(f"{len(expected.auroc)} of these are AUROCs within bands ({expected.bands_are}).")
    return 1 if lines else 0


def _study(folder: Path, names: Sequence[str], results: Path) -> FinishedStudy:
    configuration = read_configuration(folder, names)
    if not results.is_dir():
        raise InputError(
            f"the study {configuration['study']} has no results",
            where=results,
            expected="the results of a finished study",
            remedy=f"run it first: chestct run {' '.join(names)}".rstrip(),
        )
    return FinishedStudy(
        configuration=configuration, results=results, data=folder / configuration["data_dir"]
    )


def _write(name: str, sources: Sequence[Path], folder: Path) -> int:
    """Write what is expected of a study, from results folders."""
    studies = [_read_source(folder, source) for source in sources]
    own = [study for study in studies if study.name == name]
    if not own:
        raise InputError(
            f"none of these folders is of the study {name}",
            where=", ".join(map(str, sources)),
            expected=f"results of {name}, and others that differ from it in seeds alone",
            remedy=f"name the results of {name} too",
        )
    for study, source in zip(studies, sources, strict=True):
        check_configuration_of(
            name, own[0].configuration, study.configuration, where=source, without=(*WITHOUT, "seeds")
        )
        _check_exact(own[0], study, source)
    confidence = own[0].configuration["evaluation"]["confidence"]
    expected = expect(own[0], confidence, studies)
    path = expectation_file(name)
    write_expectation(expected, path)
    print(path)
    print(
        f"{len(expected.exact)} facts, {len(expected.auroc)} AUROCs; bands {expected.bands_are}, "
        f"{expected.num_machines} kind(s) of machine"
    )
    return 0


def _read_source(folder: Path, source: Path) -> StudyFacts:
    manifest = source / "download" / "data_manifest.json"
    try:
        name = json.loads(read_recorded(manifest))["study"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the manifest of a study's data cannot be read: {error}",
            where=manifest,
            expected="what rule write_data_manifest writes",
            remedy="name the results folder of a finished study",
        ) from error
    return read_study_facts(_study(folder, [] if name == DEFAULT else [name], source))


def _check_exact(one: StudyFacts, two: StudyFacts, source: Path) -> None:
    """Stop where two studies differ in what does not depend on rounding; of other seeds, what both have."""
    same = one.name == two.name
    names = one.exact.keys() | two.exact.keys() if same else one.exact.keys() & two.exact.keys()
    differing = [
        name
        for name in sorted(names)
        if (same or name != "training runs") and one.exact.get(name) != two.exact.get(name)
    ]
    if differing:
        raise InputError(
            f"studies differ in what should be equal on every machine: {', '.join(differing[:5])}",
            where=source,
            expected="one configuration and one version of the project for all of them",
            remedy="run them with the same version; if they were, what differs depends on the machine: an "
            "error of the project, worth an issue",
        )
