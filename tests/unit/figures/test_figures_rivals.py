"""Which 2D model the 3D models are compared with, and where another would have been better."""

import dataclasses

import pandas as pd
import pytest
from matplotlib.text import Annotation

from chestct.catalogue import MODELS
from chestct.figures import style
from chestct.figures.claim_sentences import read_claims
from chestct.figures.hover_words import of_means
from chestct.figures.publication_tables import claims_table, contrasts_table, results_table
from chestct.figures.render import FIGURES
from chestct.figures.rivals import chosen_rivals, rival_rows, rival_sentences


def with_test_scores(study, **values):
    """The study in which 2D models, by name, have these AUROCs on the test patients everywhere."""
    means = study.means.copy()
    for model, value in values.items():
        rows = means["model"].eq(model) & means["init"].eq("imagenet") & means["metric"].eq("auroc")
        means.loc[rows, "value"] = value
    return dataclasses.replace(study, means=means)


def with_choice(study, model):
    comparisons = study.comparisons.copy()
    comparisons.loc[comparisons["rival"].notna(), "rival"] = model
    return dataclasses.replace(study, comparisons=comparisons)


@pytest.fixture
def study(tables):
    """Validation chose the slices everywhere; they have 0.7 on the test patients, the other 2D models 0.6."""
    others = [name for name, entry in MODELS.items() if entry.family == "2d"]
    study = with_test_scores(tables("default"), **dict.fromkeys(others, 0.6))
    return with_choice(with_test_scores(study, efficientnet_lite0_slices=0.7), "efficientnet_lite0_slices")


def with_folds(study, *models, value):
    """The study in which every percentage chose these models in its folds, whose runs compose this AUROC."""
    chosen = ";".join(models)
    rows = study.means[study.means["model"].eq(models[0]) & study.means["init"].eq("imagenet")]
    composed = rows.assign(model="best_2d", value=rows["value"].where(rows["metric"] != "auroc", value))
    return dataclasses.replace(with_choice(study, chosen), means=pd.concat([study.means, composed]))


def leads(study):
    return [
        text.get_text()
        for axis in FIGURES["video_3d_vs_2d"](study).axes
        for text in axis.texts
        if isinstance(text, Annotation)
    ]


def test_the_choice_is_named_in_the_claim_and_its_table(study):
    claims = {claim.key: claim for claim in read_claims(study)}
    claim = claims.pop("video_3d_vs_2d")
    assert (
        "Against the 2D model that was best on validation: EfficientNet-Lite0, slices (rspect_phantom, 10 "
        "and 100 %; lidc_phantom, 10 and 100 %)." in claim.scope
    )
    assert "On the test patients" not in claim.scope and leads(study) == []
    assert all("best on validation" not in other.scope for other in claims.values())
    table = claims_table(study).set_index("Quantity")
    assert sorted(set(table.loc["2D rivals"])) == ["EfficientNet-Lite0, slices", style.NONE]


def test_a_choice_that_the_test_patients_do_not_bear_out_is_named(study):
    better = with_test_scores(study, lrcn_efficientnet_lite0_scan=0.725, efficientnet_lite0=0.71)
    rivals = chosen_rivals(better)
    assert [(rival.dataset, rival.percent) for rival in rivals] == [
        (dataset, percent) for dataset in study.datasets for percent in (10, 100)
    ]
    assert {rival.better for rival in rivals} == {"lrcn_efficientnet_lite0_scan"}
    assert "LRCN (EfficientNet-Lite0), scan on lidc_phantom at 10 % (by 0.025)" in rival_sentences(
        better, study.datasets
    )
    assert leads(better) == [style.signed(0.025)] * 4


def test_the_figure_puts_the_lead_above_the_better_models_point(study):
    better = with_test_scores(study, efficientnet_lite0=0.75)
    axis = FIGURES["video_3d_vs_2d"](better).axes[0]
    (lead,) = (text for text in axis.texts if isinstance(text, Annotation))
    labels = [label.get_text() for label in axis.get_yticklabels()]
    heights = dict(zip(labels, axis.get_yticks(), strict=True))
    assert lead.xy == pytest.approx((0.75, heights["EfficientNet-Lite0"]))
    assert lead.get_text() == style.signed(0.05)


def test_models_that_folds_chose_are_named_with_their_number_of_folds(study):
    """The rival is the arm that is composed of them, with its own AUROC, wherever a figure has it."""
    lrcn, slices = "lrcn_efficientnet_lite0", "efficientnet_lite0_slices"
    generated = study.runs.assign(initial_stand_in=1)
    study = dataclasses.replace(with_folds(study, lrcn, slices, lrcn, value=0.68), runs=generated)
    named = "LRCN (EfficientNet-Lite0) in 2 folds, EfficientNet-Lite0, slices in 1"
    claim = next(claim for claim in read_claims(study) if claim.key == "video_3d_vs_2d")
    assert (
        f"Against the 2D model that was best on each fold's own validation scans: {named} (rspect_phantom, "
        "10 and 100 %; lidc_phantom, 10 and 100 %). On the test patients one 2D model in all folds was "
        "better than those chosen: EfficientNet-Lite0, slices on rspect_phantom at 10 % (by 0.020), "
    ) in claim.scope
    assert set(claim.cells["Against"]) == {named}
    assert claims_table(study).set_index("Quantity").loc["2D rivals", "Claim 2"] == named
    assert named in set(contrasts_table(study)["Against"])
    results = results_table(study).set_index("Model").loc["Best 2D model of each fold"]
    assert results["100 %"].str.startswith("0.680").all()

    assert leads(study) == [style.signed(0.02)] * 4
    main, pairs = (FIGURES[name](study) for name in ("auroc_by_percent", "paired_differences"))
    assert "The best 2D model on validation is that of each fold." in main.get_supxlabel().replace("\n", " ")
    line = next(
        line for line in main.axes[0].lines if line.get_marker() == style.INIT_MARKS["imagenet"].marker
    )
    assert line.get_ydata() == pytest.approx([0.68, 0.68])
    for figure in (main, pairs):  # whose note names the generated images behind all of them
        assert "ImageNet pretraining on generated images" in figure.get_supxlabel()
    (arm, words), *_ = of_means(study, rival_rows(study).assign(model="best_2d"))
    assert arm == f"Best 2D model on validation: {named}, ImageNet pretraining" and "0.680" in words


def test_a_study_without_a_2d_model_has_no_rivals(tables):
    study = tables("own_data")
    assert chosen_rivals(study) == [] and rival_sentences(study, study.datasets) == ""
