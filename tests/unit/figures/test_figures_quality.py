"""Quality of the scans: counts, distributions, thumbnails."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from chestct.errors import InputError
from chestct.figures import scan_quality, style
from chestct.figures.names import QUALITY
from chestct.figures.scan_quality import count_outcomes, plot_quality, quality_of
from chestct.tables import write_table


def make_ledger(**reasons):
    """A ledger of so many scans by status and reason, written status__reason (and__also)."""
    rows = []
    for words, number in reasons.items():
        status, _, reason = words.partition("__")
        rows += [(status, reason.replace("__", "; ") or None)] * number
    ledger = pd.DataFrame(rows, columns=["status", "reason"])
    ids = [str(i) for i in range(len(ledger))]
    return ledger.assign(
        dataset="d", patient_id="p", study_id=ids, series_id=ids, detail=None, num_files=9, num_slices=9
    )


def draw(indexes, ledgers):
    with matplotlib.rc_context(style.RC_PARAMS):
        figure = scan_quality._figure([f"dataset_{i}" for i in range(len(indexes))], indexes, ledgers)
        FigureCanvasAgg(figure).draw()
    return figure


def test_outcomes_are_counted_by_reason():
    ledger = make_ledger(
        accepted=7,
        repaired__dropped_derived=2,
        repaired__dropped_derived__dropped_duplicates=1,
        refused__gantry_tilt=1,
        refused__missing_slices=3,
        refused__bad_rescale=1,
    )
    assert count_outcomes(ledger) == [
        ("accepted", "", 7),
        ("repaired", "dropped derived", 3),
        ("repaired", "dropped duplicates", 1),
        ("refused", "missing slices", 3),
        ("refused", "bad rescale", 1),
        ("refused", "gantry tilt", 1),
    ]


def test_the_figure_shows_every_count_and_distribution():
    ledger = make_ledger(accepted=90, repaired__dropped_derived=6, refused__gantry_tilt=4)
    index = pd.DataFrame({"spacing_z_mm": np.repeat([0.75, 1.25, 5.0], 32), "num_slices": np.arange(96) + 65})
    figure = draw([index], [ledger])
    outcomes, spacing, length = figure.axes
    assert [bar.get_width() for bar in outcomes.patches] == [90, 6, 4]
    assert [text.get_text() for text in outcomes.texts] == ["90", "6", "4"]
    assert [label.get_text() for label in outcomes.get_yticklabels()] == [
        "accepted", "repaired: dropped derived", "refused: gantry tilt"
    ]  # fmt: skip
    assert sum(bar.get_height() for bar in spacing.patches) == 96
    assert sum(bar.get_height() for bar in length.patches) == 96
    assert spacing.get_title("left") == "median 1.25, from 0.75 to 5"
    hatches = {(bar.get_facecolor(), bar.get_hatch()) for bar in outcomes.patches}
    assert len(hatches) == len({hatch for _, hatch in hatches}) == 3  # told apart without colour too


def test_rare_reasons_are_counted_together():
    reasons = [f"refused__reason_{letter}" for letter in "abcdefghij"]
    ledger = make_ledger(accepted=50, **dict.fromkeys(reasons, 1))
    figure = draw([pd.DataFrame({"spacing_z_mm": [1.0] * 50, "num_slices": 30})], [ledger])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == 7 and labels[-1] == "refused: 5 rarer reasons"
    assert sum(bar.get_width() for bar in figure.axes[0].patches) == 60
    assert figure.axes[1].get_title("left") == "all 1"


@pytest.mark.parametrize("num_datasets", [1, 4])
def test_the_figure_fits_a_page_and_nothing_is_cut(num_datasets):
    reasons = {f"refused__fewer_files_than_expected_{i}": 3 for i in range(9)}
    ledger = make_ledger(accepted=100_000, **reasons)
    index = pd.DataFrame({"spacing_z_mm": np.linspace(0.45, 5, 200), "num_slices": np.arange(200) + 65})
    figure = draw([index] * num_datasets, [ledger] * num_datasets)
    width, height = figure.get_size_inches()
    assert width <= style.DOUBLE_COLUMN and height <= style.PAGE_HEIGHT
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.x0 >= -1 and box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
        assert axis.get_window_extent().width > 40


def test_figures_are_written_alike_every_time_and_say_what_is_a_stand_in(studies, tmp_path):
    for folder in ("a", "b"):
        plot_quality(
            **studies("default").quality_inputs, folder=tmp_path / folder, formats=["png", "pdf"], dpi=60
        )
    for kind in ("png", "pdf"):
        one, other = ((tmp_path / folder / f"{QUALITY}.{kind}").read_bytes() for folder in ("a", "b"))
        assert one == other
    image = imread(tmp_path / "a" / f"{QUALITY}.png")
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert min(edge[..., :3].min() for edge in edges) > 0.99
    colours = image[-12:, :200, :3].reshape(-1, 3)
    assert (colours[:, 0] - colours[:, 2]).max() > 0.3  # the brown note at the foot


def test_real_data_have_no_stand_in_note(studies, tmp_path):
    plot_quality(**studies("own_data").quality_inputs, folder=tmp_path, formats=["png"], dpi=60)
    image = imread(tmp_path / f"{QUALITY}.png")
    colours = image[-12:, :200, :3].reshape(-1, 3)
    assert np.abs(colours[:, 0] - colours[:, 2]).max() < 0.1


def test_what_the_report_says_of_a_dataset(studies):
    files = studies("own_data")
    (ledger,), (thumbnails,) = (
        files.of_datasets("volumes", name) for name in ("ledger.csv", "thumbnails.csv")
    )
    part = quality_of("real_nodules", ledger, thumbnails)
    assert part["num_scans"] - part["num_converted"] == 1 and part["num_repaired"] == 1
    assert [tile["caption"] for tile in part["converted"]] == [
        "dropped duplicates; dropped localizers; 32 slices, 0.75 mm apart; line 2 of the ledger",
        "32 slices, 2.5 mm apart; line 3 of the ledger",
        "32 slices, 2.5 mm apart; line 4 of the ledger",
    ]
    (refused,) = part["refused"]
    assert refused["jpeg"] is None
    assert refused["caption"] == f"missing slices; 32 slices; line {part['num_scans'] + 1} of the ledger"


def test_a_broken_table_is_named(studies, tmp_path):
    write_table(make_ledger(accepted=1), tmp_path / "ledger.csv", "ledger")
    with pytest.raises(InputError, match="table 'thumbnails' is missing"):
        quality_of("d", tmp_path / "ledger.csv", tmp_path / "thumbnails.csv")
