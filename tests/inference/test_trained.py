"""Models are found from everywhere, and nothing that a YAML names is run."""

import json

import pytest
import torch
from fast.convtasnet import MaskNet
from inference.cross_corpus import separator_for
from inference.trained import load_trained, read_run_yaml
from made_runs import make_run


def replace(path, *pairs):
    """Replaces texts that occur in a file."""
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_a_run_and_its_checkpoint_are_found_from_elsewhere(
    run_of_sb, monkeypatch
):
    folder, net = run_of_sb
    model = load_trained(folder)
    monkeypatch.chdir(folder.parent)
    again = load_trained("run/save/" + model.checkpoint.name)
    for trained in (model, again):
        assert (trained.task, trained.sample_rate) == ("SB", 8000)
        assert trained.run.samefile(folder)
        assert trained.meta["epoch"] == 2
        assert not trained.separator.training
        for one, other in zip(trained.separator.parameters(), net.parameters()):
            assert torch.equal(one, other)


def test_the_last_recorded_start_counts(tmp_path):
    make_run(tmp_path)
    record, given = tmp_path / "record", tmp_path / "hyperparams.yaml"
    record.mkdir()
    for number, rate in enumerate((16_000, 11_025, 44_100), 1):
        name = f"hyperparams-{number}.yaml"
        start = json.dumps({"hyperparams": f"/elsewhere/{name}"})
        (record / f"start-000{number}.json").write_text(start)
        (record / name).write_text(given.read_text(encoding="utf-8"))
        replace(record / name, ("sample_rate: 8000", f"sample_rate: {rate}"))
    # As a start leaves it that was refused.
    replace(given, ("sample_rate: 8000", "sample_rate: 1"))
    assert load_trained(tmp_path).sample_rate == 44_100
    text, settings = read_run_yaml(tmp_path)
    assert text == (record / name).read_text(encoding="utf-8")
    assert settings["sample_rate"] == 44_100 and "encoder" not in settings
    (record / name).unlink()
    assert load_trained(tmp_path).sample_rate == 11_025


def test_nothing_that_a_yaml_names_is_run(tmp_path):
    make_run(tmp_path)
    path = tmp_path / "hyperparams.yaml"
    trap = f"trap: !apply:os.mkdir [{tmp_path}/trap]\n"
    path.write_text(trap + path.read_text(encoding="utf-8"), encoding="utf-8")
    load_trained(tmp_path)
    replace(path, ("!new:fast.convtasnet.MaskNet", "!apply:os.mkdir"))
    with pytest.raises(ValueError, match="found !apply:os.mkdir, which is not"):
        load_trained(tmp_path)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("implementation", ["fast", "stock"])
def test_runs_of_earlier_versions_load(tmp_path, implementation):
    net = make_run(tmp_path, task="SB")
    path = tmp_path / "hyperparams.yaml"
    replace(
        path,
        ("!apply:variants.", "!apply:mmipc."),
        ("!new:fast.convtasnet.MaskNet", "!apply:convtasnet.mask_network"),
        ("{N: 16, B: 8", f"{{implementation: {implementation}, N: 16, B: 8"),
    )
    model = load_trained(tmp_path)
    is_fast = isinstance(model.separator.masknet, MaskNet)
    assert is_fast == (implementation == "fast")
    assert "implementation" not in model.sizes["masknet"]
    mixture = torch.randn(1, 3000)
    with torch.no_grad():
        assert torch.allclose(model.separator(mixture), net(mixture), atol=1e-5)


def test_a_model_for_another_corpus_must_fit_it(tmp_path, run_of_sb):
    make_run(tmp_path / "ES")
    run = run_of_sb[0]
    separator = separator_for(run, "SB", 8000)
    assert separator(torch.randn(1, 800)).shape == (1, 800, 2)
    for path, task, rate, message in (
        (tmp_path / "ES", "SB", 8000, "init_from: .* task SB .* task ES"),
        (run, "SB", 16000, "for 16000 Hz, found .* for 8000 Hz"),
        (tmp_path / "nothing", "SB", 8000, "init_from: .*nothing: no such"),
        (None, "SB", 8000, "init_from: expected a trained model"),
        (run, "EB", 8000, "task: expected SB, found EB"),
    ):
        with pytest.raises(ValueError, match=message):
            separator_for(path, task, rate)


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder; expected the output"):
        load_trained(tmp_path / "none")
    with pytest.raises(ValueError, match="neither a checkpoint nor"):
        load_trained(tmp_path)
    make_run(tmp_path)
    path = tmp_path / "hyperparams.yaml"
    whole = path.read_text(encoding="utf-8")
    encoder = "!new:speechbrain.lobes.models.dual_path.Encoder"
    network = "masknet: !new:fast.convtasnet.MaskNet"
    for old, new, message in (
        (whole, "[1, 2", "hyperparams.yaml: while parsing"),
        (whole, "- 1", "expected keys and values"),
        (whole, "task: ES", "the key 'network' is missing"),
        (whole, f"{network} {{}}", "the key 'encoder' is missing"),
        (
            encoder,
            "!new:torch.nn.Identity",
            f"expected {encoder}, found !new:t",
        ),
        (whole, f"encoder: {encoder} [1]\n{network} {{}}", "arguments by name"),
        ("sample_rate: 8000", "sample_rate: 0", "sample_rate: expected Hz"),
        ("task: ES", "task: XX", "expected one of ES, EB, SB, found 'XX'"),
    ):
        path.write_text(whole, encoding="utf-8")
        replace(path, (old, new))
        with pytest.raises(ValueError, match=message):
            load_trained(tmp_path)
    path.unlink()
    for read in (load_trained, read_run_yaml):
        with pytest.raises(ValueError, match="expected hyperparams.yaml there"):
            read(tmp_path)
