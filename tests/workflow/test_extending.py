"""The examples of docs/extending.md, taken out of the page and run: a new model, a new dataset, a study."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from chestct.tables import read_table
from tests.workflow.project import Project, copy_project

#: A comment that says where a block goes, and the block.
BLOCK = re.compile(
    r"<!-- (?:(?P<kind>new|in): (?P<path>\S+?))(?:, (?P<how>at the end|after: .*?|for: .*?))? -->\n"
    r"```[a-z]*\n(?P<text>.*?)```",
    re.DOTALL,
)


@dataclass
class Block:
    """A piece of code of the page."""

    section: str
    path: str
    how: str
    text: str

    def apply(self, folder: Path) -> None:
        """Put the block where the page says."""
        path = folder / self.path
        if not self.how:
            assert not path.exists(), "new files are new"
            path.write_text(self.text)
            return
        lines = path.read_text().splitlines(keepends=True)
        if self.how == "at the end":
            lines.append(self.text)
        else:
            word, anchor = self.how.split(": ", 1)
            (number,) = [i for i, line in enumerate(lines) if line.strip().startswith(anchor)]
            lines[number : number + 1] = [self.text] if word == "for" else [lines[number], self.text]
        path.write_text("".join(lines))


def blocks_of(page: str) -> list[Block]:
    found = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        for match in BLOCK.finditer(section):
            title = section.splitlines()[0]
            found.append(Block(title, match["path"], match["how"] or "", match["text"]))
    return found


@pytest.fixture(scope="module")
def blocks(root: Path) -> list[Block]:
    """The blocks of the page."""
    page = (root / "docs" / "extending.md").read_text()
    found = blocks_of(page)
    assert len(found) == page.count("```") / 2, "a block without a place would be left out"
    return found


@pytest.fixture(scope="module")
def extended(root: Path, blocks: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with the page's examples, and scans for its dataset."""
    folder = tmp_path_factory.mktemp("extended")
    project = copy_project(root, folder / "project")
    for block in blocks:
        block.apply(project.folder)
    scans = folder / "COVID19_1110" / "studies"
    for number in range(20):
        path = scans / f"CT-{number % 4}" / f"study_{number:04d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        hu = np.random.default_rng(number).normal(-600, 300, (34, 16, 16)).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    study = project.folder / "studies" / "mosmed.yaml"
    study.write_text(study.read_text().replace("/data/COVID19_1110", str(scans.parent)))
    return project


@pytest.mark.parametrize("section", ["A new model", "A new dataset"])
def test_an_extension_takes_less_than_sixty_lines(blocks: list[Block], section: str) -> None:
    lines = [line for block in blocks if block.section == section for line in block.text.splitlines()]
    assert 10 < len(lines) < 60


def test_the_examples_pass_the_linters(extended: Project, blocks: list[Block], root: Path) -> None:
    files = sorted({block.path for block in blocks if block.path.endswith(".py")})
    for arguments in (["check"], ["format", "--check"]):
        extended.python("-m", "ruff", *arguments, "--config", str(root / "pyproject.toml"), *files)


def test_the_new_model_starts_from_its_published_file_and_trains(extended: Project) -> None:
    said = extended.python(
        "-c",
        """
import torch
from torchvision.models.video import S3D_Weights, s3d
from chestct.catalogue import MODELS
from chestct.download.weights_table import weights_row
from chestct.models import build_model
from chestct.models.load_weights import load_initial_weights

torch.set_num_threads(1)
torch.manual_seed(0)
upstream = s3d(weights=None, num_classes=400).eval()
torch.save(upstream.state_dict(), "s3d.weights")
model = build_model("s3d", num_slices=16, size_px=224, num_classes=400, seed=0).eval()
report = load_initial_weights(model, name="s3d", init="video", path="s3d.weights", sha256=None)
assert report.fresh == ("classifier.1.bias", "classifier.1.weight"), report
model.classifier.load_state_dict(upstream.classifier.state_dict())
clip = torch.randn(1, 3, 16, 224, 224)
with torch.no_grad():
    torch.testing.assert_close(model(clip), upstream(clip))

model = build_model("s3d", num_slices=13, size_px=45, seed=0).train()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
windows, labels = torch.randn(4, 3, 13, 45, 45), torch.tensor([[0.0], [1], [0], [1]])
losses = []
for _ in range(5):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(windows), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0], losses
entry, weights = MODELS["s3d"], S3D_Weights.KINETICS400_V1
row = weights_row(entry.weights["video"])
assert row["url"] == weights.url and f"-{row['sha256_prefix']}." in row["file"], row
assert entry.mean == tuple(weights.transforms().mean) and entry.std == tuple(weights.transforms().std)
assert MODELS["s3d_probe"].frozen
print("trained")
""",
    )
    assert said == "trained\n"


def test_the_new_dataset_is_listed_obtained_and_labelled(extended: Project) -> None:
    extended.run("data/mosmed/labels.csv", study="mosmed")
    folder = extended.folder / "data" / "mosmed"
    series, labels = read_table(folder / "series.csv", "series"), read_table(folder / "labels.csv", "labels")
    assert len(series) == len(labels) == 20
    expected = {f"study_{number:04d}": int(number % 4 > 0) for number in range(20)}
    assert dict(zip(labels["study_id"], labels["label"].astype(int), strict=True)) == expected
    shards = [read_table(path, "shard") for path in (folder / "shards").glob("*.csv")]
    assert sum(len(shard) for shard in shards) == 20
    assert all((shard["status"] == "obtained").all() for shard in shards)
    assert read_table(folder / "slice_labels.parquet", "slice_labels").empty


def test_a_study_of_both_plans_every_step(extended: Project) -> None:
    jobs = extended.planned(study="mosmed")
    for rule in ("convert_series", "split_patients", "download_weights", "predict", "write_report"):
        assert jobs[rule] >= 1, rule
    assert any(rule.startswith("finetune") for rule in jobs)
    assert jobs["predict_probes"] == 1


def test_a_missing_folder_of_the_new_dataset_is_named(extended: Project) -> None:
    study = extended.folder / "studies" / "mosmed.yaml"
    text = study.read_text()
    elsewhere = re.sub(r"folder: .*", "folder: nowhere", text).replace("study: mosmed", "study: lost")
    elsewhere = elsewhere.replace("name: mosmed", "name: lost")
    (extended.folder / "studies" / "lost.yaml").write_text(elsewhere)
    done = extended.run("data/lost/series.csv", study="lost", check=False)
    assert done.returncode != 0
    assert "nowhere" in done.stdout and "studies/CT-0/study_0001.nii.gz" in done.stdout
