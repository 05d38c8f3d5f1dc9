"""A methods section, ready to copy: what was done, from the configuration and the records of the study."""

from collections.abc import Mapping, Sequence
from typing import Any

from chestct.catalogue import INIT_TITLES, MODELS
from chestct.figures import style
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import count, listed, metric_title

_MAX_VERSIONS = 3


def methods_of(
    study: StudyTables, configuration: Mapping[str, Any], flows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Paragraphs with their titles.

    Args:
        study: tables of the study.
        configuration: the resolved configuration.
        flows: cohort flow of every dataset (``cohort_flow``).
    """
    return [
        ("Data", _data(study, configuration, flows)),
        ("Models and training", _training(study, configuration)),
        ("Evaluation", _evaluation(study, configuration)),
        ("Software", _software(study)),
    ]


def _data(
    study: StudyTables, configuration: Mapping[str, Any], flows: Sequence[Mapping[str, Any]]
) -> str:
    sentences = ["This is a retrospective study of existing scans."]
    windows = {entry["name"]: entry["display_window_hu"] for entry in configuration["datasets"]}
    for flow in flows:
        manifest, name = study.manifests[flow["dataset"]], flow["dataset"]
        kind = "generated phantoms, no patients" if manifest["stand_in"] else "real scans without identities"
        parts = [
            f"{count(split['scans'], 'scan')} of {count(split['patients'], 'patient')} for {split['name']} "
            f"({split['positive']:,} positive)"
            for split in flow["first_splits"]
        ]
        of_fold = " in the first fold" if flow["folds"] > 1 else ""
        window = windows[name]
        sentences.append(
            f"{name} ({manifest.get('description', 'no description')}; {kind}): {listed(parts)}{of_fold}; display window "
            f"{window['width']:g} HU wide, centred at {window['centre']:g} HU."
        )
    subsets, size = configuration["subsets"], configuration["volumes"]["size_px"]
    sentences.append(
        "Series were converted to volumes in Hounsfield units, averaged by area to "
        f"{size} x {size} pixels in plane; series that could not be read without guessing were refused and "
        "listed with the reason, none was repaired by interpolation, and scans without a label were excluded."
    )
    sentences.append(f"Patients, stratified by whether they have a positive scan, were {_split(subsets)}.")
    percents = [str(percent) for percent in sorted(configuration["percents"])]
    labels = (
        "with as large a share of the validation patients, so that a percentage counts all labels"
        if subsets["validation_labels"] == "percent"
        else "with the whole validation set in every case"
    )
    sentences.append(
        f"Models were trained on {listed(percents)} % of the training patients, in nested random subsets, {labels}."
    )
    return " ".join(sentences)


def _split(subsets: Mapping[str, Any]) -> str:
    shares, folds = subsets["split"], subsets["folds"]
    if folds > 1:
        return f"divided for {folds}-fold cross-validation, every patient being tested once"
    words = [f"{100 * shares[name]:g} % {words}" for name, words in _SPLITS.items()]
    return f"divided at random into {listed(words)}"


_SPLITS = {"train": "training", "validation": "validation", "test": "test patients"}


def _training(study: StudyTables, configuration: Mapping[str, Any]) -> str:
    training, subsets = configuration["training"], configuration["subsets"]
    names = [entry["name"] for entry in configuration["models"]]
    families = {
        "3D models": [name for name in names if MODELS[name].family == "3d" and not MODELS[name].frozen],
        "frozen probes": [name for name in names if MODELS[name].frozen],
        "2D models": [name for name in names if MODELS[name].family == "2d" and not MODELS[name].frozen],
    }
    models = [
        f"{words} ({', '.join(map(style.model_title, found))})" for words, found in families.items() if found
    ]
    present = set(study.runs["init"])
    inits = [INIT_TITLES[init].lower() for init in INIT_TITLES if init in present]
    stop = training["patience"]
    rate = (
        f"learning rate chosen for every arm on validation among {listed([f'{rate:g}' for rate in training['learning_rates']])}"
        if training["learning_rates"]
        else f"learning rate {training['learning_rate']:g} or the model's own, fixed beforehand"
    )
    budget = training["budget"]
    ended = (
        f"ended early after {_windows(stop)} without a better validation AUROC"
        if stop
        else "never ended early"
    )
    return " ".join(
        [
            f"We trained {listed(models)}, each starting {listed([f'“{init}”' for init in inits])} where the "
            "model has that start; arms of a model differ in their starting weights only (and “longer”, in the "
            "budget only).",
            f"3D models see windows of {subsets['window_slices']} slices, every {subsets['window_stride']} slices, "
            f"of {training['crop_px']} x {training['crop_px']} pixels, as does training, where the crop is random, with "
            f"rotations of up to {training['max_rotation_degrees']:g} degrees filled with air"
            f"{' and flips' if training['flip'] else ''}; a training window is positive with at least "
            f"{subsets['min_positive_slices']} positive slices, and classes are drawn equally often.",
            f"Optimiser: Adam, weight decay {training['weight_decay']:g}, {rate}, "
            f"{'constant after a rise until the first validation' if stop else 'one cycle'}, batches of "
            f"{training['batch_size']} windows unless a model has its own, precision {training['precision']}. A "
            f"run saw at most {_windows(budget)}, was validated {training['num_validations']} times, and was {ended}. "
            "The weights of the best validation AUROC were kept. A scan's score is the sigmoid of the largest "
            "logit over its windows, which cover every slice.",
            f"Every arm was trained with {count(len(configuration['seeds']), 'seed')}.",
        ]
    )


def _windows(amount: Mapping[str, Any]) -> str:
    """Windows of a run that depend on the number of its training scans, in words."""
    return f"{amount['windows_per_scan']:g} windows a training scan (at least {amount['min_windows']:,})"


def _evaluation(study: StudyTables, configuration: Mapping[str, Any]) -> str:
    evaluation = configuration["evaluation"]
    metrics = [metric_title(name) for name in evaluation["metrics"]]
    percent = f"{100 * evaluation['confidence']:g} %"
    return " ".join(
        [
            f"All models were scored on the same test scans by {listed(metrics)}. Decision thresholds, learning "
            "rates, the step whose weights are kept and the best 2D model were chosen on validation scans.",
            f"Uncertainty: {evaluation['num_resamples']:,} bootstrap resamples of the test patients, stratified by label "
            "and the same for all runs of a data set, combined with the variance between training runs and "
            f"between models; {percent} intervals and two-sided tests by Student's distribution with "
            "Satterthwaite's degrees of freedom, as in multi-reader studies. Arms with one training run have no "
            "such interval, and nothing is decided on them.",
            "Each of the paper's claims is tested by one contrast of AUROC that was fixed beforehand, on average "
            "over data sets and percentages and in every one of them (intersection-union test), with Holm's "
            f"adjustment over all statements; differences below {evaluation['margin']:g} are called not relevant.",
            f"Coverage and power were simulated ({evaluation['simulations']:,} test sets); permuted labels and "
            "comparisons of an arm with itself serve as controls.",
        ]
    )


def _software(study: StudyTables) -> str:
    def versions(name: str) -> str:
        found = sorted(map(str, study.runs[name].dropna().unique()))
        return " and ".join(found) if len(found) <= _MAX_VERSIONS else f"{len(found)} versions"

    return (
        f"Python {versions('python')} and PyTorch {versions('torch')}, with pytorchvideo and torchvision "
        "architectures; Snakemake ran the study, whose code, locked requirements and digests are under "
        "Provenance."
    )
