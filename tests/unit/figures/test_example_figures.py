"""Figures of single scans: what a model saw and said, and of no scan that may not be shown."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from test_figures_layout import covered_panels, cut, drawn_texts, overlapping

from chestct.figures import style
from chestct.figures.example_figures import (
    NO_PICTURE,
    NO_THRESHOLD,
    plot_examples,
    scores_along_z,
    windows_by_outcome,
)
from chestct.figures.example_scans import OUTCOMES, Example, Files, read_examples
from chestct.figures.names import ALONG_Z, EXAMPLES_INDEX, WINDOWS
from chestct.figures.panels import NothingToPlotError
from chestct.figures.render import lay_out, project_style
from chestct.tables import write_table
from chestct.volume_store import Volume, write_shard

RUN = {"model": "slow_narrow", "init": "video", "percent": 100, "seed": 0, "fold": 0}
NOTE = (
    "a model (best AUROC on validation). " * 6,
    "Stand-in data: phantom scans; video pretraining on clips.",
)


def example(dataset="d", outcome="true_positive", *, planes=True, marked=(), windows=3, line=7):
    start = 8 * np.arange(windows)
    table = pd.DataFrame({"start": start, "stop": start + 16, "score": np.linspace(0.2, 0.9, windows)})
    return Example(
        dataset=dataset,
        outcome=outcome,
        line=line,
        score=0.9,
        threshold=0.5,
        top=(8, 24),
        windows=table,
        marked=np.array(marked, dtype=int),
        num_slices=28,
        planes=np.linspace(0, 1, 4 * 32 * 32).reshape(4, 32, 32) if planes else None,
    )


def of_datasets(*names, each=2, **options):
    return [example(name, outcome, **options) for name in names for outcome in OUTCOMES for _ in range(each)]


LONG = "lidc_idri_nodules_three_readers_on_rspect_pulmonary_embolism"


@pytest.mark.parametrize("draw", [windows_by_outcome, scores_along_z])
@pytest.mark.parametrize("names", [["lidc_phantom"], [LONG, "b"], ["a", LONG, "c", "d", "e", "f"]])
def test_no_text_is_cut_or_covered(monkeypatch, draw, names):
    with project_style():
        figure = draw(of_datasets(*names, marked=[9, 10, 20], line=7280), NOTE)
        lay_out(figure)
        texts = drawn_texts(figure, monkeypatch)
    assert figure.get_figwidth() == style.DOUBLE_COLUMN and figure.get_figheight() <= style.PAGE_HEIGHT
    assert cut(figure, texts) == [] and overlapping(figure, texts) == [] and covered_panels(figure) == []
    assert ("Not on this page" in " ".join(words for words, _ in texts)) == (len(names) > 5)


def test_scores_stand_where_their_windows_lie():
    figure = scores_along_z([example(marked=[9, 10, 20]), example(outcome="true_negative", windows=1)])
    axis, missing, _, other = figure.axes
    spans, line = axis.collections[0], axis.get_lines()[-1]
    # Slices count from 1, and the last window ends with the scan, which has 28 slices.
    assert [segment[:, 0].tolist() for segment in spans.get_segments()] == [
        [0.5, 16.5],
        [8.5, 24.5],
        [16.5, 28.5],
    ]
    assert line.get_xdata().tolist() == [8.5, 16.5, 22.5]
    assert line.get_ydata().tolist() == pytest.approx([0.2, 0.55, 0.9])
    assert list(axis.get_lines()[0].get_ydata()) == [0.5, 0.5]
    shaded = [patch.get_xy() for patch in axis.patches]
    edges = [(np.min(np.asarray(xy)[..., 0]) if np.ndim(xy) > 1 else xy[0]) for xy in shaded]
    assert edges == [9.5, 20.5]
    assert "no scan" in missing.get_title() and len(other.patches) == 0
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["window", "threshold", "slices that readers marked"]
    plain = scores_along_z([example()])
    assert "marked" not in " ".join(text.get_text() for text in plain.legends[0].get_texts())


def test_a_strip_shows_the_slices_and_a_scan_without_picture_says_so():
    figure = windows_by_outcome([example(marked=[9]), example(outcome="false_positive", planes=False)])
    left = figure.axes[0]
    assert (
        left.get_title("left")
        == "d, threshold 0.5000\nTrue positive, line 7: score 0.9000, slices 9 to 24, marked"
    )
    strip = left.images[0].get_array()
    assert strip.shape == (32, 4 * 34 - 2)
    np.testing.assert_array_equal(strip[:, 34:66], example().planes[1])
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "no picture may be shown" in texts and "True negative: no scan" in texts


def test_reasons_of_missing_figures():
    with pytest.raises(NothingToPlotError, match="burned_in_annotation") as caught:
        windows_by_outcome([example(planes=False)])
    assert str(caught.value) == NO_PICTURE
    with pytest.raises(NothingToPlotError):
        scores_along_z([])


@pytest.fixture
def scans(tmp_path):
    """Three scans in a shard, of which one is shown, one is not and one says nothing; and what reads them."""
    ids = ["1.2.secret-yes", "1.2.secret-no", "1.2.secret-silent"]
    hu = np.random.default_rng(0).integers(-1000, 1000, (24, 20, 20), dtype=np.int16)
    volumes = [
        Volume(
            patient_id="Anna Secret",
            study_id=name,
            series_id="r",
            hu=hu,
            spacing_mm=(1.0, 1.0, 1.0),
            z_mm=np.arange(24.0),
        )
        for name in ids
    ]
    write_shard(tmp_path / "shard-0.h5", volumes)
    named = pd.DataFrame({"dataset": "d", "patient_id": "Anna Secret", "study_id": ids, "series_id": ids})
    ledger = named.assign(status="accepted", reason=None, detail=None, num_files=24, num_slices=24)
    write_table(ledger.assign(burned_in_annotation=["yes", "no", None]), tmp_path / "ledger.csv", "ledger")
    index = named.assign(store=str(tmp_path / "shard-0.h5"), num_slices=24, rows=20, columns=20, sha256="0")
    index = index.assign(spacing_z_mm=1.0, spacing_y_mm=1.0, spacing_x_mm=1.0)
    write_table(index, tmp_path / "index.csv", "index")
    slices = named.drop(columns="series_id").merge(pd.DataFrame({"start": range(24)}), how="cross")
    marked = slices["start"].isin([3, 4]).astype(int)
    slices = slices.assign(stop=slices["start"] + 1, num_positive_slices=marked, label=marked)
    write_table(slices, tmp_path / "slices.parquet", "windows")
    scores = pd.DataFrame({"dataset": "d", **RUN, "study_id": np.repeat(ids, 2), "start": [0, 8] * 3})
    scores = scores.assign(stop=scores["start"] + 16, score=[0.4, 0.8] * 3)
    other = scores.assign(init="scratch", score=0.0)
    write_table(pd.concat([other, scores]), tmp_path / "window_scores.parquet", "window_scores")
    outcomes = ["true_positive", "true_positive", "false_negative"]
    examples = pd.DataFrame({"dataset": "d", **RUN, "outcome": outcomes, "rank": [1, 2, 1], "study_id": ids})
    examples = examples.assign(
        num_scans=3, score=0.8, threshold=0.5, specificity=0.9, top_start=8, top_stop=24
    )
    study = SimpleNamespace(
        datasets=("d",),
        examples=examples.assign(top_marked=0),
        runs=pd.DataFrame({"dataset": ["d"], **RUN, "initial_stand_in": 1, "initial_weights": "clips"}),
        manifests={"d": {"stand_in": True}},
        scans_from=lambda name: name,
        trained_on=lambda name: name,
    )

    def files(otherwise="absent"):
        return {
            "d": Files(
                ledger=tmp_path / "ledger.csv",
                index=tmp_path / "index.csv",
                slices=tmp_path / "slices.parquet",
                display_window_hu={"centre": 0, "width": 1000},
                otherwise=otherwise,
            )
        }

    return study, files, {("d", "slow_narrow"): tmp_path / "window_scores.parquet"}, hu


@pytest.mark.parametrize("otherwise", ["absent", "unknown"])
def test_a_window_is_shown_as_the_model_sees_it_and_only_where_it_may_be(scans, otherwise):
    study, files, scores, hu = scans
    burned, clean, silent = read_examples(study, files(otherwise), scores, {"slow_narrow": 12})
    assert burned.planes is None and (silent.planes is None) == (otherwise == "unknown")
    # The middle slices of four parts of slices 8 to 23, the central 12 x 12 pixels, -500 to 500 HU.
    expected = np.clip((hu[[10, 14, 18, 22], 4:16, 4:16] + 500.0) / 1000, 0, 1)
    np.testing.assert_allclose(clean.planes, expected, atol=1e-6)
    assert (clean.line, clean.marked.tolist(), clean.num_slices) == (3, [3, 4], 24)
    assert clean.windows["score"].tolist() == [0.4, 0.8]  # of this run alone


def test_both_figures_are_written_alike_and_name_nobody(scans, tmp_path, monkeypatch):
    study, files, scores, _ = scans
    words = []
    monkeypatch.setattr(Text, "draw", lambda text, *_, **__: words.append(text.get_text()))
    for folder in ("a", "b"):
        reasons = plot_examples(
            study, files(), scores, {"slow_narrow": 12}, folder=tmp_path / folder, formats=["png"], dpi=50
        )
        assert reasons == json.loads((tmp_path / folder / EXAMPLES_INDEX).read_text())
    assert reasons == {WINDOWS: None, ALONG_Z: None}
    for name in (WINDOWS, ALONG_Z):
        assert len({(tmp_path / folder / f"{name}.png").read_bytes() for folder in ("a", "b")}) == 1
    shown = " ".join(words).replace("\n", " ")
    assert "secret" not in shown.lower() and "line 3" in shown
    assert "specificity of 0.9 on validation scans" in shown
    assert "Stand-in data: phantom scans; video pretraining on generated clips." in shown
    study.examples = study.examples.iloc[:0]
    empty = plot_examples(study, {}, {}, {}, folder=tmp_path / "none", formats=["png"], dpi=50)
    assert empty == {WINDOWS: NO_THRESHOLD, ALONG_Z: NO_THRESHOLD}
