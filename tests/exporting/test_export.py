"""An export is what SpeechBrain, safetensors and ONNX Runtime load."""

import errno
import json
import os
from unittest import mock

import export
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from exporting.export import round_weights
from exporting.model_card import model_card
from exporting.onnx_file import check_onnx
from inference.separation import Separation
from inference.trained import load_trained
from made_runs import CAUSAL, make_run, make_tested_run, noise
from safetensors import safe_open

from speechbrain.inference.separation import SepformerSeparation

START = {
    "command": "train.py hparams/convtasnet.yaml --task=SB",
    "commit": "abc123",
    "device": "cpu",
    "precision": "fp16",
    "packages": {"torch": "2.11.0", "speechbrain": "1.1.2"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tested run for SB with two recorded starts, its network, its export."""
    folder = tmp_path_factory.mktemp("exported")
    run = folder / "run"
    net = make_tested_run(run)
    (folder / "corpus").mkdir()
    for variant, names in (("SER", "ab"), ("SE", "bc")):
        text = "\n".join(["ID,duration", *(f"{name},1" for name in names)])
        (run / f"save/train_{variant}.csv").write_text(text)
    (run / "record").mkdir()
    for number, new in enumerate([{}, {"commit": "def456"}], 1):
        text = json.dumps({**START, "folder": str(folder), **new})
        (run / f"record/start-000{number}.json").write_text(text)
    words = [str(run), str(folder / "model"), "--licence=cc-by-4.0"]
    assert export.main(words) == 0
    return run, net, folder / "model"


def card_of(folder):
    """Head and text of a model card."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    head, text = text.removeprefix("---\n").split("\n---\n", 1)
    return yaml.safe_load(head), text


def mixtures(length):
    """A batch of two mixtures, with digital silence."""
    samples = noise(length, 2)
    samples[length // 3 : length // 2] = 0
    return torch.from_numpy(samples.T).float()


def check_speechbrain(net, folder, tmp_path):
    """Asserts that SpeechBrain alone computes what the recipe's network does."""
    model = SepformerSeparation.from_hparams(
        source=str(folder), savedir=str(tmp_path / "saved")
    )
    assert model.hparams.sample_rate == 8000
    for mixture in map(mixtures, (800, 8003)):
        with torch.no_grad():
            found = model.separate_batch(mixture + 0.05)
            expected = net(mixture - mixture.mean(1, keepdim=True))
        assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_speechbrain_safetensors_and_the_recipe_load_it(exported, tmp_path):
    run, net, folder = exported
    check_speechbrain(net, folder, tmp_path)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        facts = {"format": "pt", "task": "SB", "sample_rate": "8000"}
        assert weights.metadata() == facts
        expected = net.state_dict()
        assert sorted(weights.keys()) == sorted(expected)
        for name, value in expected.items():
            assert torch.equal(weights.get_tensor(name), value)
    # Who may read one file may read all.
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    mixture = mixtures(9000)[0]
    expected = Separation.from_run(run)(mixture)
    assert np.array_equal(Separation.from_run(folder)(mixture), expected)


def test_half_of_the_bytes_load_as_float32(exported, tmp_path, capsys):
    run, net, whole = exported
    folder = tmp_path / "model"
    words = [str(run), str(folder), "--fp16"]
    assert export.main(words) == 0
    check_speechbrain(net.half().float(), folder, tmp_path)
    loaded = load_trained(folder).separator.state_dict()
    sizes = [0, 0]
    with safe_open(folder / "model.safetensors", "pt") as weights:
        for name, value in load_trained(run).separator.state_dict().items():
            stored = weights.get_tensor(name)
            assert stored.dtype == torch.float16
            assert torch.equal(stored, value.half())
            assert torch.equal(loaded[name], stored.float())
    for name in ("encoder.ckpt", "masknet.ckpt", "decoder.ckpt"):
        sizes[0] += sum(x.nbytes for x in torch.load(whole / name).values())
        sizes[1] += sum(x.nbytes for x in torch.load(folder / name).values())
    assert sizes[0] == 2 * sizes[1]
    assert "rounded to float16" in card_of(folder)[1]
    assert "rounded to float16" not in card_of(whole)[1]
    too_large = torch.nn.Linear(1, 1)
    too_large.bias.data.fill_(1e6)
    with pytest.raises(ValueError, match="bias exceeds float16"):
        round_weights(too_large)


def test_the_card_is_filled_from_the_run(exported):
    head, text = card_of(exported[2])
    assert head["license"] == "cc-by-4.0" and head["language"] == "pl"
    assert "audio-source-separation" in head["tags"]
    (result,) = head["model-index"][0]["results"]
    name = "test split of PolSESS (corpus), mean over SER, SE"
    assert result["dataset"]["name"] == name
    # Means over variants: (4 + 9.5) / 2 and (3 + 11.5) / 2.
    values = {m["type"]: m["value"] for m in result["metrics"]}
    assert values == {"si_sdr": 6.75, "si_sdri": 7.25}
    parameters = sum(p.numel() for p in exported[1].parameters())
    for line in (
        "| SER | indoor | 2 | 4.00",
        "| Command | `train.py hparams/convtasnet.yaml --task=SB` |",
        "| Training mixtures | 3 |",
        f"| Parameters | {parameters:,} |",
        "| Precision | fp16 |",
        "| Commit | abc123 |",
        "| Versions | torch 2.11.0, speechbrain 1.1.2 |",
        "epoch 2, validation SI-SDRi 3.50 dB",
        "published under cc-by-4.0",
        "always gives 2 sources",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    "made, kind",
    [
        ("{}", "simulated speech and sounds"),
        ('{"sources": "a1"}', "recordings"),
    ],
)
def test_an_untested_model_of_a_made_corpus_is_called_so(
    tmp_path, monkeypatch, capsys, made, kind
):
    net = make_run(tmp_path / "run", **CAUSAL)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text(made)
    # As earlier versions recorded what they chose.
    (tmp_path / "run/save/settings.json").write_text('{"precision": "bf16"}')
    monkeypatch.chdir(tmp_path)
    assert export.main(["run", "model"]) == 1
    assert "test the run first" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["corpus", "run"]
    (tmp_path / "model").mkdir()  # an empty folder is taken
    assert export.main(["run", "model", "--untested"]) == 0
    head, text = card_of(tmp_path / "model")
    assert "**Not tested.**" in text and "speech-enhancement" in head["tags"]
    assert "none was named" in text and "| Commit |" not in text
    assert "| Precision | bf16 |" in text
    data = f"in the layout of PolSESS with {kind}, not the released one"
    assert text.count(data) == 2  # table and limits
    check_speechbrain(net, tmp_path / "model", tmp_path)


def test_a_table_that_does_not_belong_to_the_model_is_refused(tmp_path, capsys):
    make_tested_run(tmp_path / "run")
    scores, summary = (
        tmp_path / f"run/test_{x}.csv" for x in ("scores", "summary")
    )
    written = load_trained(tmp_path / "run").meta["unixtime"]
    for change, message in (
        (lambda: os.utime(scores, (0, written - 1)), "is older than the model"),
        (lambda: os.utime(scores, (0, written + 1)), ""),
        (lambda: summary.write_text("variant,n\nSER,2\n"), "lacks the columns"),
        (lambda: summary.write_text(""), "test_summary.csv lacks the columns"),
        (summary.unlink, "test_summary.csv is missing"),
        (scores.unlink, "test_scores.csv is missing"),
    ):
        change()
        output = tmp_path / f"model {message}"
        assert export.main([str(tmp_path / "run"), str(output)]) == bool(
            message
        )
        assert message in capsys.readouterr().err
        assert output.exists() == (not message)


def test_an_export_is_complete_or_absent(
    exported, tmp_path, monkeypatch, capsys
):
    run, _, whole = exported
    words = [str(run), str(tmp_path / "model")]
    (tmp_path / ".a_killed.partial").mkdir()
    (tmp_path / ".a_killed.partial/left.ckpt").write_text("half")
    files = []

    def fail(partial, output):
        """Finds the disk full when all is written."""
        files.extend(sorted(os.listdir(partial)))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        assert export.main(words) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert files == sorted(os.listdir(whole)) and not os.listdir(tmp_path)
    (tmp_path / "model").write_text("mine")
    for output in (tmp_path, tmp_path / "model"):
        assert export.main([str(run), str(output)]) == 1
        assert "is in use; name a new folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["model"]


def test_of_two_exports_the_second_is_refused(exported, tmp_path, capsys):
    words = [str(exported[0]), str(tmp_path / "model")]
    card = "exporting.export.model_card"

    def be_late(*arguments):
        """Lets another export begin and end."""
        with mock.patch(card, model_card):
            assert export.main(words) == 0
        return model_card(*arguments)

    with mock.patch(card, be_late):
        assert export.main(words) == 1
    assert "model is in use; name a new folder" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    "sizes", [{"X": 1}, pytest.param(CAUSAL, marks=pytest.mark.nightly)]
)
def test_onnx_runtime_gives_the_same(tmp_path, sizes):
    net = make_run(tmp_path / "run", "SB", **sizes)
    words = [str(tmp_path / "run"), str(tmp_path / "model"), "--untested"]
    session = onnxruntime.InferenceSession
    name = "onnxruntime.InferenceSession"
    with mock.patch(name, side_effect=session) as checks:
        assert export.main([*words, "--onnx"]) == 0
    # It was compared before it got its name.
    [path] = [call.args[0] for call in checks.mock_calls]
    assert path.endswith(".partial/model/model.onnx")
    assert "`model.onnx`" in card_of(tmp_path / "model")[1]
    path = tmp_path / "model/model.onnx"
    for mixture in map(mixtures, (800, 20_005)):
        given = {"mixture": (mixture + 0.05).numpy()}
        found = session(path).run(None, given)[0]
        with torch.no_grad():
            expected = net(mixture - mixture.mean(1, keepdim=True)).numpy()
        assert found.shape == expected.shape
        assert np.allclose(found, expected, atol=1e-4 * abs(expected).max())
    with torch.no_grad():
        net.decoder.weight.mul_(1.001)
    with pytest.raises(ValueError, match="a relative error of 0.001 at 8000"):
        check_onnx(net, path)
