"""Every step's environment file: pinned as the lock file, and complete for what the step imports."""

import ast
import re
import sys

import pytest
import yaml

STEPS = {
    "download": ["download"],
    "volumes": ["volumes"],
    "subsets": ["subsets"],
    "training": ["training", "models"],
    "evaluation": ["evaluation"],
    "figures": ["figures"],
}
#: Distribution names of imported modules, where they differ.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "triton": "torch",  # which brings it where there are GPUs; nothing needs it elsewhere
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(root, step) -> dict[str, str]:
    environment = yaml.safe_load((root / "envs" / f"{step}.yaml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert environment["dependencies"][:2] == ["python =3.11", "pip"]
    specifications = environment["dependencies"][2]["pip"]
    return {normal(name): version for name, version in (text.split("==") for text in specifications)}


def imports(path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("step", STEPS)
def test_pins_agree_with_the_lock_file(root, step):
    locked = dict(
        re.findall(r"^([a-zA-Z0-9_.-]+)==(\S+)", (root / "requirements.lock").read_text(), re.MULTILINE)
    )
    locked = {normal(name): version for name, version in locked.items()}
    assert {name: locked.get(name) for name in pins(root, step)} == pins(root, step)


def step_files(root, step):
    package = root / "workflow_scripts" / "chestct"
    files = [path for folder in STEPS[step] for path in (package / folder).rglob("*.py")]
    assert files
    shared, seen = [], set()
    pending = list(files)
    while pending:  # the shared modules that the step's files import, directly or through each other
        for name in imports(pending.pop()):
            path = package / f"{name.removeprefix('chestct.')}.py"
            if name.startswith("chestct.") and path.is_file() and path not in seen:
                seen.add(path)
                shared.append(path)
                pending.append(path)
    return files, shared


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_what_its_environment_installs(root, step):
    files, shared = step_files(root, step)
    listed = set(pins(root, step)) | {"pip"}
    for path in [*files, *shared]:
        for name in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == "chestct":
                continue
            assert normal(DISTRIBUTIONS.get(top, top)) in listed, f"{path.name} imports {name}"


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_no_other_step(root, step):
    files, shared = step_files(root, step)
    others = {folder for folders in STEPS.values() for folder in folders} - set(STEPS[step])
    for path in [*files, *shared]:
        for name in imports(path):
            parts = name.split(".")
            assert not (parts[0] == "chestct" and len(parts) > 1 and parts[1] in others), (path, name)


def test_every_environment_belongs_to_a_step(root):
    assert {path.stem for path in (root / "envs").glob("*.yaml")} == set(STEPS)
