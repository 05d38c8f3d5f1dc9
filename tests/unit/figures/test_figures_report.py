"""The report: self-contained, complete, harmless, and the same every time."""

import base64
import dataclasses
import io
import re
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
from report_page import NOT_DRAWN, configuration_of, files_of, page_of, report_of

from chestct.errors import InputError
from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS
from chestct.figures.report_tables import MAX_ROWS
from chestct.records import record


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data", "smoke", "bare", "extras"])
def test_report_is_self_contained_and_well_formed(reports, kind):
    html = reports(kind).read_text(encoding="utf-8")
    page = page_of(reports(kind))
    for address in page.addresses:
        # Files of figures lie beside the page, which is complete without them.
        assert address.startswith(("data:", "#")) or re.fullmatch(r"figures/\w+\.(pdf|png)", address), address
        if address.startswith("#"):
            assert address[1:] in page.ids
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|innerHTML", html)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("nav") == 1 and page.tags.count("main") == 1


@pytest.mark.parametrize("kind", ["smoke", "own_data"])
def test_report_shows_no_folders_and_no_patients(studies, reports, kind):
    text = page_of(reports(kind)).text
    assert "/home/" not in text and "a person" not in text and "private" not in text
    assert str(studies(kind).folder) not in text
    assert not re.search(r"P0\d\d\d", text)


def test_report_marks_stand_ins(reports):
    page = page_of(reports("smoke"))
    assert page.ids.index("stand-ins") < page.ids.index("claims")
    assert "Parts of this study run on stand-in data" in page.text
    # Of the three claims the study tests two.
    assert page.text.count("Stand-in data: this tests the software only.") == 2


def test_report_of_real_data_says_so(reports):
    text = page_of(reports("own_data")).text
    assert "No stand-ins: all scans and all starting weights of this study are real." in text
    assert "tests the software only" not in text
    assert f"{NOT_DRAWN}: no model with both" in text
    assert "5-fold cross-validation" in text


def test_report_has_the_claims_first_and_every_figure(reports):
    page = page_of(reports("default"))
    order = [page.ids.index(name) for name in ("answers", "claims", "figures", "results", "study")]
    assert order == sorted(order)
    for name, caption in CAPTIONS.items():
        assert (f"figure-{name}" in page.ids) == (name != NOT_DRAWN)
        assert (" ".join(caption.split()) in page.text) == (name != NOT_DRAWN)


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data"])
def test_report_has_every_number(tables, reports, kind):
    study = tables(kind)
    text = page_of(reports(kind)).text.replace("\N{MINUS SIGN}", "-")
    for table, column, form in [
        (study.means, "value", "{:.3f}"),
        (study.metrics, "value", "{:.3f}"),
        (study.comparisons, "difference", "{:+.3f}"),
        (study.multipliers, "multiplier", "{:.2f}"),
        (study.coverage, "coverage", "{:.1%}"),
        (study.power, "power", "{:.1%}"),
    ]:
        # Tables of more rows are in the archive alone.
        values = table[column].dropna() if len(table) <= MAX_ROWS else ()
        for number in {form.format(value).replace("%", " %") for value in values}:
            assert number in text
    html = reports(kind).read_text(encoding="utf-8")
    # One is not drawn, and there are the scans' quality and the figures of single scans.
    assert html.count("data:image/png;base64,") == len(CAPTIONS) + len(EXAMPLE_CAPTIONS)
    assert html.count("data:image/jpeg;base64,") == 3 * len(study.datasets)
    assert "missing slices: 1" in text and "indeterminate: 2" in text


def test_report_offers_its_tables_as_one_archive(tables, reports):
    page = page_of(reports("default"))
    (address,) = [text for text in page.addresses if text.startswith("data:application/zip")]
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))
    assert archive.testzip() is None and "metrics.csv" in archive.namelist()
    study = tables("default")
    metrics = pd.read_csv(archive.open("metrics.csv"))
    assert len(metrics) == len(study.metrics)
    assert metrics["value"].to_numpy() == pytest.approx(study.metrics["value"].to_numpy(), rel=1e-5)


def test_report_repeats(studies, figures, reports, tmp_path):
    again = report_of(studies("own_data"), figures, tmp_path / "report.html")
    assert again.read_bytes() == reports("own_data").read_bytes()


def test_text_of_the_user_is_escaped(studies, figures, reports, tmp_path, tables):
    """A dataset that is called like a tag is shown as it is called, everywhere."""
    evil = "<script>document.title='evil'</script>\"'&"
    study = tables("smoke")
    (name,) = study.datasets
    tables = {
        field.name: value.replace({"dataset": {name: evil}})
        for field in dataclasses.fields(study)
        if isinstance(value := getattr(study, field.name), pd.DataFrame) and "dataset" in value
    }
    renamed = dataclasses.replace(
        study, **tables, datasets=(evil,), manifests={evil: study.manifests[name] | {"description": evil}}
    )
    configuration = configuration_of(studies("smoke"))
    configuration["datasets"] = [entry | {"name": evil} for entry in configuration["datasets"]]
    path = report_of(
        studies("smoke"),
        figures,
        tmp_path / "report.html",
        study=renamed,
        study_name=evil,
        configuration=configuration,
    )
    page, usual = page_of(path), page_of(reports("smoke"))
    assert page.tags.count("script") == usual.tags.count("script") == 1
    assert page.text.count("document.title='evil'") > 20
    assert sorted(set(page.ids)) == sorted(set(usual.ids))


def test_broken_inputs_are_refused(studies, figures, tmp_path):
    files = studies("smoke")
    broken = tmp_path / "ledger.csv"
    broken.write_text("dataset,status\nlidc_phantom,odd\n")
    record(broken)
    with pytest.raises(InputError, match="ledger"):
        changed = dataclasses.replace(files_of(files), ledgers=[broken])
        report_of(files, figures, tmp_path / "report.html", dataset_files=changed)
    assert not (tmp_path / "report.html").exists()


def test_report_of_the_full_size_is_light(reports):
    path = reports("full")
    assert path.stat().st_size < 4e6
    page = page_of(path)
    assert "Too many rows for this page: see metrics.csv" in page.text
    assert len(page.table("Dataset", "Model", "Starts", "%", "Seeds", "Folds", "Runs", "Parameters")) == 26
    assert "chosen" in {row[-1] for row in next(t for t in page.tables if t[0][-1] == "Chosen")[1:]}


def test_names_of_figures_are_read_without_matplotlib():
    program = "import sys; sys.modules['matplotlib'] = None; import chestct.figures.captions"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_report_says_what_to_cite_and_which_weights_are_trusted_on_first_use(reports):
    text = page_of(reports("own_data")).text
    assert "Armato III et al., Medical Physics 38:915-931, 2011" in text
    assert "Carreira and Zisserman, CVPR 2017" in text and "MIDL 2023" in text
    assert text.count("(trusted on first use)") == 1
    assert "3840 files, 2.01 GB" in text


def test_verdicts_have_their_own_tags_and_say_what_is_missing(tables, reports):
    html = reports("default").read_text(encoding="utf-8")
    assert html.count('<span class="tag not-decidable">not decidable: one training run an arm</span>') == 3
    assert html.count('<article class="claim not-decidable"') == 3
    assert (
        "One training run an arm: interval over patients alone, no verdict."
        in page_of(reports("default")).text
    )
    text = page_of(reports("seeds")).text
    assert "One training run an arm: interval over patients alone" not in text
    for kind in tables("seeds").claims["verdict"]:
        assert f'class="tag {kind.replace("_", "-")}"' in reports("seeds").read_text(encoding="utf-8")
    assert "seeds 0, 1 and 2." in text and "would help most." in text
