"""Result tables, claims and the report."""

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from chestct.figures.claims import check_claims, contrast_title
from chestct.figures.quality import plot_quality
from chestct.figures.render import plot_figures
from chestct.figures.report import hide_folders, write_report
from chestct.figures.result_tables import results_table, write_results
from chestct.figures.study_tables import read_study

_VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags close in order; collects addresses and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def reports(studies, tmp_path_factory):
    """Path of the report of a kind of study."""
    written: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in written:
            folder = tmp_path_factory.mktemp(f"report-{kind}")
            files = studies(kind)
            study = read_study(**files.inputs)
            plot_figures(study, folder=folder, formats=["png"], dpi=50)
            plot_quality(**files.quality_inputs, folder=folder, formats=["png"], dpi=50)
            write_report(
                study=study,
                study_name=kind,
                metrics_path=files.table("metrics"),
                tables={"evaluation/metrics.csv": files.table("metrics")},
                figures_folder=folder,
                cohorts=files.of_datasets("subsets", "cohort.csv"),
                splits=files.of_datasets("subsets", "splits.csv"),
                ledgers=files.of_datasets("volumes", "ledger.csv"),
                thumbnails=files.of_datasets("volumes", "thumbnails.csv"),
                data_manifest=files.folder / "download/data_manifest.json",
                configuration={"study": kind, "data_dir": "/home/a person/data", "note": "<b>bold</b>"},
                provenance={"code of evaluation": "0123456789abcdef"},
                dpi=50,
                path=folder / "report.html",
            )
            written[kind] = folder / "report.html"
        return written[kind]

    return get


@pytest.mark.parametrize("kind", ["own_data", "smoke", "bare"])
def test_report_is_self_contained_and_well_formed(reports, kind):
    html = reports(kind).read_text(encoding="utf-8")
    page = Page(html)
    for address in page.addresses:
        assert address.startswith(("data:", "#")), address
        if len(address) > 1 and address.startswith("#"):
            assert address[1:] in page.ids
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", html)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("kind", ["smoke", "own_data"])
def test_report_shows_no_folders_and_no_patients(studies, reports, kind):
    page = Page(reports(kind).read_text(encoding="utf-8"))
    assert "/home/" not in page.text and "a person" not in page.text and "private" not in page.text
    assert str(studies(kind).folder) not in page.text
    assert not re.search(r"P0\d\d\d", page.text)


def test_report_marks_stand_ins(reports):
    page = Page(reports("smoke").read_text(encoding="utf-8"))
    assert page.ids[0] == "stand-ins"
    assert "Parts of this study run on stand-in data" in page.text
    assert (
        page.text.count("Stand-in data: this tests the machinery only.") == 2
    )  # of the claims that it tests


def test_report_of_real_data_says_so(reports):
    page = Page(reports("own_data").read_text(encoding="utf-8"))
    assert "No stand-ins: all scans and all starting weights of this study are real." in page.text
    assert "tests the machinery only" not in page.text
    assert "video_vs_ct: the study has no model with both" in page.text
    assert "5-fold cross-validation" in page.text


def test_report_has_every_number(studies, reports):
    html = reports("smoke").read_text(encoding="utf-8")
    metrics = pd.read_csv(studies("smoke").table("metrics"))
    for value in metrics["value"]:
        assert f"<td>{value:.3f}</td>" in html
    assert html.count("data:image/png;base64,") == 5  # with the scans' quality; video_vs_ct is left out
    assert html.count("data:image/jpeg;base64,") == 3
    assert "missing slices" in html and "indeterminate" in html
    assert "&lt;b&gt;bold" in html  # text of the user is escaped


def test_report_repeats(studies, reports, tmp_path):
    first = reports("own_data")
    files = studies("own_data")
    write_report(
        study=read_study(**files.inputs),
        study_name="own_data",
        metrics_path=files.table("metrics"),
        tables={"evaluation/metrics.csv": files.table("metrics")},
        figures_folder=first.parent,
        cohorts=files.of_datasets("subsets", "cohort.csv"),
        splits=files.of_datasets("subsets", "splits.csv"),
        ledgers=files.of_datasets("volumes", "ledger.csv"),
        thumbnails=files.of_datasets("volumes", "thumbnails.csv"),
        data_manifest=files.folder / "download/data_manifest.json",
        configuration={"study": "own_data", "data_dir": "/home/a person/data", "note": "<b>bold</b>"},
        provenance={"code of evaluation": "0123456789abcdef"},
        dpi=50,
        path=tmp_path / "report.html",
    )
    assert (tmp_path / "report.html").read_bytes() == first.read_bytes()


_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_SORT = """<script>
addEventListener("load", () => {
  const head = document.querySelector("#results table.sortable th:nth-child(3) button");
  const cells = () => [...document.querySelectorAll("#results table.sortable")][0].tBodies[0].rows;
  const column = () => [...cells()].map((row) => row.cells[2].textContent).join("|");
  head.click(); const up = column(); head.click(); const down = column();
  document.title = JSON.stringify([up, down, document.documentElement.scrollWidth, innerWidth]);
});
</script>"""


@pytest.mark.skipif(_CHROMIUM is None, reason="needs a Chromium browser")
def test_report_in_a_browser(reports, tmp_path):
    """No error on the console, sorting sorts, and the page is no wider than a phone."""
    path = tmp_path / "page.html"
    path.write_text(reports("smoke").read_text(encoding="utf-8").replace("</body>", f"{_SORT}</body>"))
    done = subprocess.run(
        [_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=500,900",
         "--virtual-time-budget=4000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and "CONSOLE" not in done.stderr
    title = re.search(r"<title>(\[.*?\])</title>", done.stdout)
    assert title is not None
    up, down, scroll_width, width = json.loads(title[1].replace("&amp;", "&"))
    values = [float(cell.split()[0]) for cell in up.split("|")]
    assert values == sorted(values) and len(set(values)) > 2
    assert [float(cell.split()[0]) for cell in down.split("|")] == sorted(values, reverse=True)
    assert scroll_width <= width


def test_results_table_has_the_same_numbers_in_all_formats(studies, tmp_path):
    study = read_study(**studies("default").inputs)
    paths = [tmp_path / f"results.{kind}" for kind in ("csv", "md", "tex")]
    write_results(study, csv_path=paths[0], markdown_path=paths[1], latex_path=paths[2])
    table = results_table(study)
    assert list(table.columns[2:]) == [
        f"{dataset} {percent} %" for dataset in study.datasets for percent in (10, 100)
    ]
    with open(paths[0], newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows == table.to_numpy().tolist()
    lines = [line for line in paths[1].read_text().splitlines() if line.startswith("|")]
    assert [line[2:-2].split(" | ") for line in lines[2:]] == rows
    tex = paths[2].read_text()
    assert all(cell in tex for row in rows for cell in row)
    assert r"\toprule" in tex and r"rspect\_phantom 10 \%" in tex
    mean = study.means.query(
        "model == 'mean_of_seven' and init == 'video' and dataset == 'lidc_phantom' and percent == 10 "
        "and metric == 'auroc'"
    ).iloc[0]
    row = table[(table["Model"] == "Mean of the seven") & (table["Start"] == "Video pretraining")].iloc[0]
    assert row["lidc_phantom 10 %"].startswith(f"{mean['value']:.3f} ({mean['ci_low']:.3f}")


def test_claims_of_the_default_study(studies):
    study = read_study(**studies("default").inputs)
    claims = check_claims(study)
    assert [len(claim.tests) for claim in claims] == [4, 8, 2]
    assert {test.subject for claim in claims for test in claim.tests} == {"Mean of the seven"}
    assert {test.dataset for test in claims[2].tests} == {"lidc_phantom"}
    assert claims[1].tests[0].contrast == "video \N{MINUS SIGN} EfficientNet-Lite0"


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(0.01, 0.2), (0.02, 0.1)], "supported"),
        ([(-0.3, -0.2), (-0.2, -0.1)], "not supported"),
        ([(-0.1, 0.2), (0.02, 0.1)], "undecided"),
        ([(-0.1, 0.2), (0.0, 0.1)], "undecided"),
        ([(-0.3, -0.2), (0.02, 0.1)], "mixed"),
    ],
)
def test_verdicts_follow_the_intervals(studies, intervals, verdict):
    study = read_study(**studies("smoke").inputs)
    own = study.comparisons["contrast"].eq("video - scratch") & study.comparisons["metric"].eq("auroc")
    own &= study.comparisons["model"].eq("slow_narrow")
    rows = study.comparisons[own].copy()
    assert len(rows) == 2
    rows[["ci_low", "ci_high"]] = intervals
    claims = check_claims(dataclasses.replace(study, comparisons=rows))
    assert claims[0].verdict == verdict
    assert [claim.verdict for claim in claims[1:]] == ["not tested", "not tested"]


def test_claims_without_a_mean_go_by_model(studies):
    claim = check_claims(read_study(**studies("own_data").inputs))[0]
    assert [test.subject for test in claim.tests] == ["I3D"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/some one/data", "\u2026/data"),
        ("~/data/labels.csv", "\u2026/labels.csv"),
        ("volumes from /mnt/big/ct, twice", "volumes from \u2026/ct, twice"),
        (r"C:\Users\me\ct", "\u2026/ct"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("../shared/real_nodules", "../shared/real_nodules"),
        ("and/or 1/2", "and/or 1/2"),
        ({"a": ["/x/y", 3, None]}, {"a": ["\u2026/y", 3, None]}),
    ],
)
def test_folders_are_hidden(value, shown):
    assert hide_folders(value) == shown


def test_contrast_titles():
    minus = "\N{MINUS SIGN}"
    assert contrast_title("video_ct - video") == f"video, then ct {minus} video"
    assert (
        contrast_title("video - lrcn_efficientnet_lite0:imagenet")
        == f"video {minus} LRCN (EfficientNet-Lite0)"
    )


def test_figures_import_without_the_other_steps_libraries():
    program = (
        "import sys\n"
        "for name in ('torch', 'pydicom', 'SimpleITK', 'h5py', 'scipy', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "import chestct.figures.render, chestct.figures.report, chestct.figures.result_tables\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_names_of_figures_are_read_without_matplotlib():
    program = "import sys; sys.modules['matplotlib'] = None; import chestct.figures.names"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_report_says_what_to_cite_and_which_weights_are_trusted_on_first_use(reports):
    page = Page(reports("own_data").read_text(encoding="utf-8"))
    assert "Armato III et al., Medical Physics 38:915-931, 2011" in page.text
    assert "Carreira and Zisserman, CVPR 2017" in page.text
    assert page.text.count("(trusted on first use)") == 1
    assert "3840 files, 2.01 GB" in page.text
