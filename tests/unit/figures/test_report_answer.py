"""The report's first screen and head, numbered figures, studies of own data, costs and operating point."""

import dataclasses
import re
import shutil
import subprocess

import pandas as pd
import pytest
from report_page import configuration_of, page_of, report_of

from chestct import __version__
from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS, TITLES
from chestct.figures.names import FLOW, QUALITY
from chestct.figures.report_answer import cards_of, is_own, kind_of, question_of
from chestct.figures.report_costs import costs_of
from chestct.figures.report_figures import figure_file
from chestct.figures.report_head import datasets_line, made_of
from chestct.figures.report_tables import operating_point_table
from chestct.figures.study_tables import origin_of_weights


def with_claims(study, **values):
    """The study whose claims have these values, in all rows that are tested."""
    claims = study.claims.copy()
    for name, value in values.items():
        claims.loc[claims["verdict"] != "not_tested", name] = value
    return dataclasses.replace(study, claims=claims)


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data", "bare"])
def test_a_card_for_every_claim_that_is_tested(tables, reports, kind):
    study, page = tables(kind), page_of(reports(kind))
    cards = cards_of(study)
    assert len(cards) == (study.claims["verdict"] != "not_tested").sum()
    rows = study.claims[study.claims["verdict"] != "not_tested"].to_dict("records")
    for card, row in zip(cards, rows, strict=True):
        assert card.place in page.ids
        for words in (card.question, card.verdict, card.numbers, card.facts):
            assert words in page.text
        assert f"{row['difference']:+.3f}".replace("-", "\N{MINUS SIGN}") in card.numbers
        assert bool(card.p) == (row["verdict"] != "not_decidable")
        assert ("over patients alone" in card.numbers) == ("[" in card.numbers) == (not card.p)
    assert ("no two arms" in page.text) == (not cards)


def test_cards_share_an_axis_on_which_intervals_lie_as_they_should(tables):
    study = tables("seeds")
    cards = cards_of(study)
    assert len({card.forest.zero for card in cards}) == len({card.forest.ends for card in cards}) == 1
    rows = study.claims[study.claims["verdict"] != "not_tested"]
    for card, row in zip(cards, rows.to_dict("records"), strict=True):
        drawing = card.forest
        low, high = drawing.interval
        assert 0 <= low <= drawing.point <= high <= 100
        assert (drawing.point > drawing.zero) == (row["difference"] > 0)
        assert low < drawing.zero or row["ci_low"] > 0
        assert drawing.margin[0] < drawing.zero < drawing.margin[1]
    wide = cards_of(with_claims(study, ci_low=-3.0, ci_high=3.0))
    assert all(card.forest.cut == (True, True) for card in wide)
    assert all(0 <= end <= 100 for card in wide for end in card.forest.interval)
    alone = cards_of(with_claims(study, ci_low=None, ci_high=None, verdict="not_decidable"))
    assert all(card.forest.interval is None and not card.p for card in alone)


@pytest.mark.parametrize(
    ("claim", "models", "percents", "question"),
    [
        ("video_vs_scratch", "i3d", "100", "Does video pretraining help I3D?"),
        (
            "video_vs_scratch",
            "i3d;slow_narrow",
            "10;100",
            "Does video pretraining help two 3D models on average, whatever the size of the training set?",
        ),
        (
            "video_vs_scratch_long",
            "i3d",
            "100",
            "Does video pretraining help I3D more than longer training does?",
        ),
        ("video_3d_vs_2d", "i3d", "10;100", "After video pretraining, does I3D beat the best 2D model?"),
        (
            "video_vs_ct",
            "i3d;slow_narrow",
            "100",
            "Does video pretraining help two 3D models on average more than CT pretraining does?",
        ),
    ],
)
def test_questions_are_in_the_words_of_the_study(claim, models, percents, question):
    assert question_of({"claim": claim, "models": models, "percents": percents}) == question


def test_one_line_says_what_the_data_are(tables):
    study = tables("default")
    real = {name: manifest | {"stand_in": False} for name, manifest in study.manifests.items()}
    weights = origin_of_weights(study)
    found = [
        kind_of(dataclasses.replace(study, manifests=manifests), origins)
        for manifests, origins in (
            (study.manifests, weights),
            (real | {"lidc_phantom": study.manifests["lidc_phantom"]}, []),
            (real, weights),
            ({name: manifest | {"intensity": "display"} for name, manifest in real.items()}, []),
            (real, []),
        )
    ]
    assert [kind.name for kind in found] == ["stand-in", "stand-in", "stand-in", "display", "real"]
    assert all("tests the machinery only" in kind.title for kind in found[:3])
    assert "lidc_phantom" in found[1].words and "rspect_phantom" not in found[1].words
    assert "scans are real" in found[2].words and "not HU" in found[3].words


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "a", "source": "lidc_idri"}, "a: nodule"),
        ({"name": "a", "source": "own_data"}, "a"),
        (
            {"name": "a", "source": "own_data", "columns": {"label": "nodule"}},
            'a: positive by the column "nodule" of the table',
        ),
        (
            {"name": "a", "source": "own_data", "title": "Our clinic", "label": "Emphysema"},
            "a (Our clinic): emphysema",
        ),
    ],
)
def test_the_head_says_what_a_dataset_is_called_and_asks(entry, words):
    assert datasets_line([entry]) == words and datasets_line([entry, entry]) == f"{words}; {words}"


def test_the_first_line_says_it_in_the_report(reports):
    page = page_of(reports("default"))
    assert page.ids.index("data-kind") < page.ids.index("answers") < page.ids.index("stand-ins")
    assert "Phantoms: this study tests the machinery only." in page.text
    assert "Real data." in page_of(reports("own_data")).text


def test_a_study_of_own_scans_asks_its_own_question_alone(studies, figures, tmp_path, reports):
    files = studies("own_data")
    configuration = configuration_of(files)
    assert not is_own(configuration)
    configuration["datasets"] = [entry | {"source": "own_data"} for entry in configuration["datasets"]]
    assert is_own(configuration)
    path = report_of(files, figures, tmp_path / "report.html", configuration=configuration)
    own, usual = (page_of(part).text for part in (path, reports("own_data")))
    assert "What this study asks" in own and "What this study asks" not in usual
    for words in ("The paper's three claims", "Not tested: this study lacks", "whose analysis was fixed on"):
        assert words in usual and words not in own
    assert "Does video pretraining help I3D?" in own
    assert "A positive scan: " in own
    assert "The user's own scans." in own and "Real data." not in own


def test_figures_have_numbers_titles_and_files(reports):
    assert set(TITLES) == {*CAPTIONS, *EXAMPLE_CAPTIONS, QUALITY, FLOW}
    html = reports("default").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"<strong>Figure (\d+)\. ", html)]
    # One is not drawn, and the scans' quality is.
    assert numbers == list(range(1, len(CAPTIONS) + len(EXAMPLE_CAPTIONS) + 1))
    page = page_of(reports("default"))
    files = [address for address in page.addresses if address.startswith("figures/")]
    assert len(files) == len(set(files)) == len(numbers) + 1 and "figures/cohort_flow.pdf" in files
    assert [figure_file("a", formats) for formats in (["png", "svg", "pdf"], ["svg"], [])] == [
        "figures/a.pdf",
        "figures/a.svg",
        "figures/a.png",
    ]


def test_digests_are_folded_up(reports):
    html = reports("default").read_text(encoding="utf-8")
    section = html[html.index('<section id="provenance">') : html.index('<section id="cite">')]
    assert section.count("<details open>") == 1 and section.count("<details>") >= 4
    opened = section[section.index("<details open>") : section.index("</details>")]
    assert "torch" in opened and not re.search(r"[0-9a-f]{16}", opened)


def test_the_head_has_date_version_and_commit(studies, figures, tmp_path):
    made = ["2026-11-27", "version 1.2.3", "commit 0123456789"]
    page = page_of(report_of(studies("bare"), figures, tmp_path / "report.html", made=made))
    assert all(words in page.text for words in made)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git on PATH")
def test_the_commit_is_that_of_the_workflow_itself(tmp_path):
    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *name, *words], check=True, capture_output=True)

    assert made_of(tmp_path)[1:] == [f"version {__version__}"]
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    date, _, commit = made_of(tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date) and re.fullmatch(r"commit [0-9a-f]{10}", commit)
    (tmp_path / "file").write_text("2")
    assert made_of(tmp_path)[2] == f"{commit}, with changes"
    # A copy of the workflow within a repository of something else.
    (tmp_path / "copy").mkdir()
    assert len(made_of(tmp_path / "copy")) == 2


@pytest.mark.parametrize(("seconds", "unit"), [(3.0, "Minutes"), (3000.0, "Hours")])
def test_small_costs_are_in_minutes(tables, seconds, unit):
    study = tables("smoke")
    study = dataclasses.replace(study, runs=study.runs.assign(seconds=seconds))
    costs = costs_of(study, None)
    rows = [dict(zip(costs["steps"].columns, row, strict=True)) for row in costs["steps"].rows]
    total = seconds * len(study.runs) / {"Minutes": 60, "Hours": 3600}[unit]
    assert float(rows[0][unit]) == pytest.approx(total, abs=0.006)
    assert unit in costs["models"].columns and f"{unit.lower()} of training" in costs["sentence"]


def test_the_operating_point_is_a_table(tables):
    study = tables("default")
    shown = operating_point_table(study)
    assert shown.columns == ("Dataset", "Model", "Start", "Sensitivity", "Specificity", "PPV", "NPV")
    arms = study.means.query("metric == 'sensitivity_validation' and percent == 100 and init != 'none'")
    arms = arms[~arms["model"].str.startswith("mean_of")]
    assert len(shown) == len(arms)
    assert f"{arms['value'].iloc[0]:.3f} [" in " ".join(shown.rows[0])
    without = dataclasses.replace(
        study, means=study.means[~study.means["metric"].str.endswith("_validation").astype(bool)]
    )
    assert len(operating_point_table(without)) == 0
    assert isinstance(without.means, pd.DataFrame)
