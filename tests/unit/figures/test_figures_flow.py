"""The cohort flow as a figure: every number, nothing cut, boxes beside and below one another."""

import itertools

import pytest
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.flow_figure import flow_figure, plot_flow
from chestct.figures.render import project_style


def flows_of(files):
    inputs = files.flow_inputs
    parts = (inputs[name] for name in ("datasets", "cohorts", "splits", "ledgers"))
    return [cohort_flow(*paths) for paths in zip(*parts, strict=True)]


def drawn(flows, **options):
    with project_style():
        figure = flow_figure(flows, **options)
        figure.draw_without_rendering()
    return figure


def many_reasons(flow, number):
    """The flow with as many long reasons at every step that loses scans, and a fourth partition."""
    reasons = [(f"a long reason in several words, number {place}", place) for place in range(number, 0, -1)]
    total = sum(count for _, count in reasons)
    steps = [
        step | ({"lost": reasons, "num_lost": total} if step["num_lost"] else {}) for step in flow["steps"]
    ]
    rest = {"name": "in no split", "scans": 1200, "patients": 1100, "positive": 300}
    return flow | {"steps": steps, "first_splits": [*flow["first_splits"], rest]}


@pytest.mark.parametrize(
    ("kind", "reasons"), [("default", 0), ("own_data", 0), ("own_data", 30), ("default", 3)]
)
def test_every_number_stands_in_a_box_that_holds_it(studies, kind, reasons):
    flows = flows_of(studies(kind))
    if reasons:
        flows = [many_reasons(flow, reasons) for flow in flows]
    figure = drawn(flows)
    assert len(figure.axes) == len(flows)
    for axis, flow in zip(figure.axes, flows, strict=True):
        words = " ".join(text.get_text().strip() for text in axis.texts)
        for step in flow["steps"]:
            assert f"{step['count']:,} {step['words']}"[:12] in words
            assert not step["num_lost"] or f"{step['num_lost']:,} {step['lost_words'].split()[0]}" in words
        for split in flow["first_splits"]:
            assert f"{split['scans']:,}" in words and f"{split['patients']:,} patients" in words
        boxes = [patch.get_window_extent() for patch in axis.patches if isinstance(patch, Rectangle)]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        page = figure.bbox
        assert all(box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 for box in boxes)
        for text in [text for text in axis.texts if text.get_text().strip() and text.get_weight() != "bold"]:
            extent = text.get_window_extent()
            assert any(
                box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
                for box in boxes
            ), text.get_text()


def test_rare_reasons_are_counted_together(studies):
    flow = many_reasons(flows_of(studies("own_data"))[0], 9)
    words = " ".join(text.get_text().strip() for text in drawn([flow]).axes[0].texts)
    assert "4 rarer reasons: 10" in words and "number 5: 5" in words and "number 4: 4" not in words


def test_flow_is_written_in_every_format_and_repeats(studies, tmp_path):
    for folder in ("a", "b"):
        plot_flow(**studies("default").flow_inputs, folder=tmp_path / folder, formats=["png", "pdf"], dpi=60)
    for kind in ("png", "pdf"):
        one, other = ((tmp_path / folder / f"cohort_flow.{kind}").read_bytes() for folder in ("a", "b"))
        assert one == other
    assert imread(tmp_path / "a/cohort_flow.png")[..., :3].std() > 0.01
    figure = drawn(flows_of(studies("default")), stand_ins=["lidc_phantom"])
    assert "phantom scans in lidc_phantom" in figure.texts[0].get_text()
