"""The report's methods section, pre-specified analysis and checklist."""

from pathlib import Path

import pytest
import yaml
from report_page import configuration_of, page_of, report_of

from chestct.dataset_entries import resolve_entries
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.report_checklist import answered, checklist_of
from chestct.figures.report_methods import methods_of
from chestct.figures.report_plan import plan_of

ROOT = Path(__file__).parents[3]


def merged(base: dict, overlay: dict) -> dict:
    """Snakemake's rule: mappings are merged, everything else is replaced."""
    for key, value in overlay.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base = base | {key: merged(base[key], value) if both else value}
    return base


def study_configuration(name: str) -> dict:
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return merged(default, yaml.safe_load((ROOT / f"studies/{name}.yaml").read_text(encoding="utf-8")))


def test_studies_with_a_plan_are_the_pre_specified_ones():
    assert plan_of(study_configuration("paper")).departures == []
    nodules = study_configuration("lidc_nodules")
    nodules["datasets"] = resolve_entries(nodules["datasets"])
    plan = plan_of(nodules)
    assert plan.departures == [] and plan.document == "docs/lidc_nodules_protocol.md"
    nodules["training"]["crop_px"] = 48
    assert [row.key for row in plan_of(nodules).departures] == ["training.crop_px"]


def test_a_plan_may_fix_models_budgets_and_datasets():
    nodules = study_configuration("lidc_nodules")
    nodules["datasets"] = [entry | {"num_slices": 16} for entry in resolve_entries(nodules["datasets"])]
    models = {entry["name"]: entry for entry in nodules["models"]}
    models["i3d"] |= {"budget": {"windows_per_scan": 4, "min_windows": 640}}
    models["nodule_cnn"] |= {"budget": {"windows_per_scan": 1, "min_windows": 9}}
    models["i3d_probe"] |= {"inits": ["video"]}
    del models["efficientnet_lite0_probe"]
    nodules["models"] = list(models.values())
    nodules["training"] |= {"max_shift_px": None, "long_factor": 6}
    found = {row.key: (row.planned, row.here) for row in plan_of(nodules).departures}
    assert found.pop("models")[1].count(",") == 7
    assert found == {
        "datasets, num_slices": ("8, 8, 8", "16, 16, 16"),
        "models.i3d.budget.windows_per_scan": ("1", "4"),
        "models.nodule_cnn.budget": ("none", "windows_per_scan 1, min_windows 9"),
        "models.i3d_probe.inits": ("scratch, video", "video"),
        "training.max_shift_px": ("4", "none"),
        "training.long_factor": ("3", "6"),
    }


def test_departures_from_the_plan_are_named():
    configuration = study_configuration("paper")
    configuration["evaluation"] = configuration["evaluation"] | {"margin": 0.05}
    configuration["subsets"]["split"] = configuration["subsets"]["split"] | {"train": 0.6}
    configuration["models"] = [entry for entry in configuration["models"] if entry["name"] != "penet"]
    found = {row.key: (row.planned, row.here) for row in plan_of(configuration).departures}
    assert found["evaluation.margin"] == ("0.02", "0.05")
    assert found["subsets.split.train"] == ("0.7", "0.6")
    assert found["models of the claims"][1].count(",") == 5
    assert len(found) == 3


@pytest.mark.parametrize(
    ("study", "heading"),
    [("paper", "## Pre-specified analysis"), ("lidc_nodules", "# Protocol of the study")],
)
def test_the_documents_give_the_date_of_the_plan(study, heading):
    configuration = study_configuration(study)
    configuration["datasets"] = resolve_entries(configuration["datasets"])
    plan = plan_of(configuration)
    lines = (ROOT / plan.document).read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(heading) and line.endswith(f"({plan.date})") for line in lines)


def test_every_item_of_both_guidelines_is_in_the_checklist_once():
    rows = [row for part in yaml.safe_load(checklist_text())["sections"] for row in part["items"]]
    claim = [row["claim"] for row in rows if "claim" in row]
    assert claim == [str(number) for number in range(1, 45)]
    tripod = {name.strip() for row in rows for name in row.get("tripod", "").split(",") if name.strip()}
    numbers = {int("".join(filter(str.isdigit, name))) for name in tripod}
    assert numbers == set(range(1, 28))
    assert all("place" in row or "not_done" in row for row in rows)
    assert all("not_done" in row for row in rows if "if" in row)


def checklist_text() -> str:
    import chestct.figures.report_checklist as module

    return Path(module.__file__).with_name("checklist.yaml").read_text(encoding="utf-8")


def test_the_checklist_fills_itself_from_what_the_study_has():
    sections = {"subgroups": "Subgroups"}
    every = dict.fromkeys(
        {
            row["place"]
            for part in yaml.safe_load(checklist_text())["sections"]
            for row in part["items"]
            if "place" in row
        },
        "Title",
    )
    without, with_subgroups = checklist_of(every, ()), checklist_of(every | sections, ("subgroups",))
    assert answered(with_subgroups)[0] > answered(without)[0]
    item = next(item for _, items in without for item in items if item.tripod == "14")
    assert not item.place and "subgroups" in item.reason
    item = next(item for _, items in with_subgroups for item in items if item.tripod == "14")
    assert (item.place, item.title, item.reason) == ("subgroups", "Subgroups", "")


@pytest.mark.parametrize("kind", ["default", "own_data"])
def test_links_of_the_checklist_lead_to_sections(reports, kind):
    page = page_of(reports(kind))
    linked = {address[1:] for address in page.addresses if address.startswith("#")}
    assert linked <= set(page.ids)
    assert {"methods", "plan", "checklist"} <= set(page.ids)


def test_documents_that_the_checklist_names_exist():
    rows = [row for part in yaml.safe_load(checklist_text())["sections"] for row in part["items"]]
    documents = {row["place"] for row in rows if str(row.get("place", "")).startswith("docs/")}
    assert documents and all((ROOT / document).is_file() for document in documents)


def test_methods_say_what_the_configuration_says(studies, tables):
    files = studies("own_data")
    configuration = configuration_of(files)
    configuration["subsets"] = configuration["subsets"] | {"folds": 5, "validation_labels": "percent"}
    flow = cohort_flow(
        "real_nodules",
        *(files.of_datasets("subsets", name)[0] for name in ("cohort.csv", "splits.csv")),
        files.of_datasets("volumes", "ledger.csv")[0],
    )
    paragraphs = dict(methods_of(tables("own_data"), configuration, [flow]))
    assert "5-fold cross-validation" in paragraphs["Data"]
    assert "a percentage counts all labels" in paragraphs["Data"]
    assert "0.001 and 0.0001" in paragraphs["Models and training"]
    assert "10,000 bootstrap resamples" in paragraphs["Evaluation"]
    assert "computed within every fold" in paragraphs["Evaluation"]
    assert not any("None" in words or "{" in words for words in paragraphs.values())
    assert "filled with air" in paragraphs["Models and training"]
    assert "not HU" not in paragraphs["Data"]
    configuration["datasets"] = [
        entry | {"intensity": "display", "num_slices": 8} for entry in configuration["datasets"]
    ]
    paragraphs = dict(methods_of(tables("own_data"), configuration, [flow]))
    assert "grey levels (display values, not HU) wide" in paragraphs["Data"]
    assert "resampled along z to 8 slices" in paragraphs["Data"]
    assert "(display images: with black)" in paragraphs["Models and training"]


def test_the_report_says_whether_it_is_the_planned_study(reports):
    page = page_of(reports("default"))
    rows = page.table("Setting", "Planned", "Here")
    assert ["percents", "1, 10, 25, 50, 100", "10, 100"] in rows


def test_a_report_of_the_planned_configuration_says_so(studies, figures, tmp_path):
    files = studies("bare")
    planned = study_configuration("paper")
    configuration = configuration_of(files) | {
        key: planned[key]
        for key in ("percents", "seeds", "inits", "subsets", "training", "evaluation", "models")
    }
    (entry,) = configuration["datasets"]
    configuration["datasets"] = [entry | {"name": "b", "source": "rspect"}, entry | {"source": "lidc_idri"}]
    page = page_of(report_of(files, figures, tmp_path / "report.html", configuration=configuration))
    assert "The configuration is that of the analysis which was fixed on" in page.text
    assert "How intervals and p values are computed was changed on 2026-11-28" in page.text
