"""What the weights of a run say of themselves: all that scoring takes, the same at every training."""

import json
import platform

import pytest
import torch
from engine_data import CONVERSION, DATA, RUN, WINDOW, history, make_job, record, train, windows

from chestct.errors import InputError
from chestct.training.header import HEADER_NAME, header_of, read_facts
from chestct.training.record import save_weights


def test_a_trained_run_says_how_it_was_trained(trained, data):
    facts, row = read_facts(trained / "weights.safetensors"), record(trained)
    assert facts["run"] == RUN.asdict() and facts["holds"] == "network"
    assert facts["conversion"] == CONVERSION and facts["training_data"] == DATA
    assert facts["display_window_hu"] == WINDOW and facts["window_slices"] == 8
    assert facts["settings"]["crop_px"] == facts["scoring"]["crop_px"] == 32
    assert facts["model"]["sees"] == "window" and len(facts["model"]["mean"]) == 3
    assert facts["num_scans"] == row["num_scans"] and facts["validation_auroc"] == row["validation_auroc"]
    assert not {name for name in facts if "digest" in name}, "they change with what changes no weight"
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["versions"]["python"] == platform.python_version()
    assert data["index"] not in json.dumps(facts) and str(trained) not in json.dumps(facts), "no path"


def test_how_a_network_is_computed_is_said_by_the_configuration_alone(data, tmp_path):
    short = {"budget": windows(8), "num_validations": 1}
    fast = train(make_job(data, fast_forms="always", **short), tmp_path / "fast")
    usual = train(make_job(data, **short), tmp_path / "usual")
    texts = [(folder / "config.yaml").read_text() for folder in (usual, fast)]
    assert texts[1] == texts[0].replace("fast_forms: on_gpus", "fast_forms: always") != texts[0]
    facts = [read_facts(folder / "weights.safetensors") for folder in (usual, fast)]
    assert facts[0]["settings"] == facts[1]["settings"] and facts[0]["scoring"] == facts[1]["scoring"]
    assert "fast_forms" not in facts[0]["settings"] | facts[0]["scoring"], "it would change their bytes"
    losses = [history(folder)["train_loss"] for folder in (usual, fast)]
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), abs=1e-4)


def test_a_rerun_leaves_the_same_file(trained, data, tmp_path):
    again = train(make_job(data), tmp_path / "again")
    assert (again / "weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()


def test_text_of_any_kind_comes_back(tmp_path):
    facts = {"label": 'Lungenrundherd "groß"\n\u2028 \U0001fac1', "more": {"none": None, "share": 0.1}}
    save_weights({"a": torch.zeros(1)}, tmp_path / "w.safetensors", facts)
    assert read_facts(tmp_path / "w.safetensors") == facts
    save_weights({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    assert read_facts(tmp_path / "plain.safetensors") == {}


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100])
def test_a_file_that_is_none_is_one_message(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="the header of a weight file cannot be read"):
        read_facts(path)
    with pytest.raises(InputError):
        read_facts(tmp_path / "gone.safetensors")


def test_facts_that_are_no_json_are_refused(tmp_path):
    from safetensors.torch import save_file

    for text in ("{", "[1]", "3"):
        save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={HEADER_NAME: text})
        with pytest.raises(InputError):
            read_facts(tmp_path / "w.safetensors")
    with pytest.raises(ValueError):
        header_of({"a": float("nan")})
