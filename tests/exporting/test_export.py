"""An export is what SpeechBrain, safetensors and ONNX Runtime load."""

import json
import os
import time

import export
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from exporting import export as exporting
from exporting.onnx_file import check_onnx
from inference.separation import Separation
from inference.trained import load_trained
from made_runs import CAUSAL, make_run
from safetensors.torch import load_file
from summary import write_summary

from speechbrain.inference.separation import SepformerSeparation

SCORES = """ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri
a,SER,indoor,s1,5.0,1.0,4.0
a,SER,indoor,s2,3.0,1.0,2.0
b,SE,outdoor,s1,7.0,-1.0,8.0
b,SE,outdoor,s2,9.0,-1.0,10.0
"""


def make_tested_run(folder):
    """A run for SB with scores; returns its network."""
    net = make_run(folder, task="SB")
    (folder / "test_scores.csv").write_text(SCORES, encoding="utf-8")
    write_summary(folder, ["SER", "SE"], "SB")
    return net


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tested run for SB and its network."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    net = make_tested_run(folder)
    (folder / "record").mkdir()
    text = (folder / "hyperparams.yaml").read_text(encoding="utf-8")
    (folder / "record/hyperparams-1.yaml").write_text(text, encoding="utf-8")
    start = {
        "command": "train.py hparams/convtasnet.yaml --task=SB",
        "folder": str(folder.parent),
        "hyperparams": "hyperparams-1.yaml",
        "commit": "abc123",
        "device": "cpu",
        "precision": "fp16",
        "packages": {"torch": "2.11.0", "speechbrain": "1.1.2"},
    }
    (folder / "record/start-0001.json").write_text(json.dumps(start))
    (folder.parent / "corpus").mkdir()
    return folder, net


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Its export."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert export.main([str(run[0]), str(folder), "--licence=cc-by-4.0"]) == 0
    return folder


def noise(length):
    """A batch of two mixtures, with digital silence."""
    generator = torch.Generator().manual_seed(length)
    mixtures = 0.1 * torch.randn(2, length, generator=generator)
    mixtures[:, length // 3 : length // 2] = 0
    return mixtures


@pytest.mark.parametrize("length", [800, 8003, 31999])
def test_speechbrain_gives_the_same_as_the_recipe(
    run, exported, tmp_path, length
):
    model = SepformerSeparation.from_hparams(
        source=str(exported), savedir=str(tmp_path)
    )
    assert model.hparams.sample_rate == 8000
    mixture = noise(length)
    with torch.no_grad():
        expected = run[1](mixture)
        assert torch.allclose(
            model.separate_batch(mixture), expected, atol=1e-5, rtol=1e-5
        )


def test_the_recipe_loads_an_export_too(run, exported):
    mixture = noise(9000)[0]
    expected = Separation.from_run(run[0])(mixture)
    assert np.array_equal(Separation.from_run(exported)(mixture), expected)


def test_safetensors_are_the_same_weights(run, exported):
    weights = load_file(exported / "model.safetensors")
    expected = run[1].state_dict()
    assert sorted(weights) == sorted(expected)
    for name, value in weights.items():
        assert torch.equal(value, expected[name])


def test_the_card_is_filled_from_the_run(exported):
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "cc-by-4.0" and head["language"] == "pl"
    (result,) = head["model-index"][0]["results"]
    values = {m["type"]: m["value"] for m in result["metrics"]}
    # Means over variants: (4 + 8) / 2 and (3 + 9) / 2.
    assert values == {"si_sdr": 6.0, "si_sdri": 6.0}
    for text in (
        "| SER | indoor | 2 | 4.00",
        "| Command | `train.py hparams/convtasnet.yaml --task=SB` |",
        "| Precision | fp16 |",
        "| Commit | abc123 |",
        "PolSESS (corpus)",
        "epoch 2, validation SI-SDRi 3.50 dB",
        "published under cc-by-4.0",
    ):
        assert text in card, text


def test_the_card_tells_that_a_corpus_is_simulated(run, tmp_path):
    marker = run[0].parent / "corpus/corpus.json"
    marker.write_text("{}")
    try:
        assert export.main([str(run[0]), str(tmp_path / "model")]) == 0
    finally:
        marker.unlink()
    card = (tmp_path / "model/README.md").read_text(encoding="utf-8")
    head, body = card.removeprefix("---\n").split("\n---\n", 1)
    (result,) = yaml.safe_load(head)["model-index"][0]["results"]
    simulated = "simulated speech and sounds, not the released one"
    assert simulated in result["dataset"]["name"]
    assert body.count(simulated) == 2  # table and limits
    assert "none was named" in card


def test_a_run_that_was_not_tested_is_refused(tmp_path, capsys):
    make_run(tmp_path / "run")
    out = tmp_path / "model"
    assert export.main([str(tmp_path / "run"), str(out)]) == 1
    assert "test the run first" in capsys.readouterr().err
    assert not out.exists()
    assert export.main([str(tmp_path / "run"), str(out), "--untested"]) == 0
    assert "**Not tested.**" in (out / "README.md").read_text(encoding="utf-8")


def test_scores_of_an_earlier_model_are_refused(tmp_path, capsys):
    make_tested_run(tmp_path / "run")
    scores = tmp_path / "run/test_scores.csv"
    hour_ago = time.time() - 3600
    os.utime(scores, (hour_ago, hour_ago))
    assert export.main([str(tmp_path / "run"), str(tmp_path / "model")]) == 1
    assert "is older than the model" in capsys.readouterr().err


def test_a_damaged_table_is_refused(tmp_path, capsys):
    make_tested_run(tmp_path / "run")
    arguments = [str(tmp_path / "run"), str(tmp_path / "model")]
    for text in ("", "variant,n\nSER,2\n"):
        (tmp_path / "run/test_summary.csv").write_text(text)
        assert export.main(arguments) == 1
        error = capsys.readouterr().err
        assert "test_summary.csv lacks the columns" in error


def test_a_folder_in_use_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert export.main([str(run[0]), str(tmp_path)]) == 1
    assert "is in use; name a new folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_nothing_is_left_of_an_export_that_fails(run, tmp_path, monkeypatch):
    def fail(*arguments):
        """The error of a full disk."""
        raise OSError("no space left")

    monkeypatch.setattr(exporting, "model_card", fail)
    assert export.main([str(run[0]), str(tmp_path / "model")]) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("causal", [False, True])
def test_onnx_runtime_gives_the_same_at_any_length(tmp_path, causal):
    sizes = CAUSAL if causal else {}
    net = make_run(tmp_path / "run", "SB", X=2, **sizes)
    arguments = str(tmp_path / "run"), str(tmp_path / "model")
    assert export.main([*arguments, "--untested", "--onnx"]) == 0
    path = tmp_path / "model/model.onnx"
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    for length in (800, 8001, 20_005):
        mixture = noise(length)
        found = session.run(None, {"mixture": mixture.numpy()})[0]
        with torch.no_grad():
            expected = net(mixture).numpy()
        assert found.shape == expected.shape
        assert np.allclose(found, expected, atol=1e-4 * abs(expected).max())
    with torch.no_grad():
        net.decoder.weight.mul_(1.01)
    with pytest.raises(ValueError, match="found a relative error of 0.0"):
        check_onnx(net, path)
    trained = load_trained(tmp_path / "model")
    assert trained.sizes["masknet"]["causal"] is causal
