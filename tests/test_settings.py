"""A training is resumed with the settings that it began with, or refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from reliability.checkpointer import SafeCheckpointer
from recipe import HPARAMS, SEPARATION, hparams_of
from reliability.settings import (
    SETTINGS,
    check_settings,
    keep_settings,
    settings_of,
)

import speechbrain as sb

YAML = HPARAMS / "convtasnet.yaml"


def prepared(folder, *options, **overrides):
    """Loaded settings, with manifests that a preparation would leave."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        if not (folder / f"{split}_SER.csv").exists():
            (folder / f"{split}_SER.csv").write_text(f"ID\n{split}\n")
    _, run_opts, _ = sb.parse_arguments(["x.yaml", *options])
    small = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1}
    overrides = {"save_folder": str(folder), **small, **overrides}
    hparams = hparams_of(**overrides)
    return hparams, run_opts, YAML, overrides


@pytest.fixture
def trained(tmp_path):
    """The save folder of a training that was begun."""
    check_settings(*prepared(tmp_path / "save"))
    keep_settings(tmp_path / "save")
    SafeCheckpointer(tmp_path / "save").save_checkpoint()
    return tmp_path / "save"


CHANGES = [
    ([], {"lr": 0.5}, "lr: 0.001 before, 0.5 now"),
    ([], {"seed": 1}, "seed: 1234 before, 1 now"),
    ([], {"batch_size": 5}, "batch_size: 4 before, 5 now"),
    ([], {"task": "SB"}, "task: ES before, SB now"),
    ([], {"N": 32}, "N: 8 before, 32 now"),
    ([], {"curriculum": [{"epoch": 2, "variants": ["S"]}]}, "curriculum: "),
    ([], {"segment_seconds": None}, "segment_seconds: 4.0 before, None now"),
    ([], {"n_train": 2}, "n_train: None before, 2 now"),
    ([], {"variants": ["SER", "SE"]}, "variants: "),
    ([], {"precision": "bf16"}, "precision: fp16 before, bf16 now"),
    ([], {"opt_class": {"lr": 2.0}}, "opt_class.lr: none before, 2.0 now"),
    ([], {"lr_scheduler": {"factor": 0.5}}, "lr_scheduler.factor: 0.95 before"),
    ([], {"masknet": {"R": 2}}, "masknet.R: none before, 2.0 now"),
    (["--precision=bf16"], {}, "precision: fp16 before, bf16 now"),
    (["--max_grad_norm=1"], {}, "max_grad_norm: 5.0 before, 1.0 now"),
    (["--grad_accumulation_factor=2"], {}, "grad_accumulation_factor: 6 "),
    (["--compile"], {}, "compile: none before, "),
]


@pytest.mark.parametrize("options, overrides, named", CHANGES)
def test_a_changed_setting_is_refused_by_name(
    trained, caplog, options, overrides, named
):
    before = (trained / "settings.json").read_bytes()
    with pytest.raises(ValueError, match="with other settings") as caught:
        check_settings(*prepared(trained, *options, **overrides))
    assert f"\n- {named}" in str(caught.value)
    assert "--resume_changed=True" in str(caught.value)
    assert (trained / "settings.json").read_bytes() == before
    assert "another setting" not in caplog.text

    go_on = prepared(trained, *options, resume_changed=True, **overrides)
    check_settings(*go_on, resume_changed=True)
    assert f"resumed with another setting: {named}" in caplog.text
    # Not before the checkpoint has been loaded with them.
    assert (trained / "settings.json").read_bytes() == before
    keep_settings(trained)
    check_settings(*prepared(trained, *options, **overrides))


def test_what_does_not_compile_the_network_is_no_change(trained):
    hparams, *others = prepared(trained)
    check_settings({**hparams, "compile": False}, *others)
    options = ["--compile", "--compile_module_keys", "other"]
    check_settings(*prepared(trained, *options))


def test_only_what_changed_is_named(trained):
    with pytest.raises(ValueError) as caught:
        check_settings(*prepared(trained, lr=0.5, seed=1))
    named = [n for n in str(caught.value).splitlines() if n.startswith("- ")]
    assert [name.split(":")[0] for name in named] == ["- lr", "- seed"]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_changed_data_is_refused(trained, split):
    with open(trained / f"{split}_SER.csv", "a", encoding="utf-8") as file:
        file.write("one more\n")
    with pytest.raises(ValueError, match=rf"- {split} data \(hash\): "):
        check_settings(*prepared(trained))


def test_test_data_may_change(trained):
    (trained / "test_SER.csv").write_text("another")
    check_settings(*prepared(trained))


@pytest.mark.parametrize(
    "overrides",
    [
        {"number_of_epochs": 99},
        {"num_workers": 1},
        {"init_from": "/a/run"},
        {"eval_loader_kwargs": {"num_workers": 2}},
        {"train_loader_kwargs": {"persistent_workers": False}},
        {"lr_scheduler": {"factor": "95e-2"}},
        {"ckpt_interval_minutes": 3},
        {"metrics": ["si_sdr"]},
        {"tensorboard": None},
        {"data_folder": str(SEPARATION)},
        {"test_variants": ["S"]},
    ],
)
def test_settings_without_influence_may_change(trained, caplog, overrides):
    check_settings(*prepared(trained, **overrides))
    assert "another setting" not in caplog.text


def test_a_run_may_move(trained, tmp_path, caplog):
    moved = shutil.move(trained, tmp_path / "moved")
    check_settings(*prepared(Path(moved)))
    assert "another setting" not in caplog.text


def test_settings_without_checkpoints_are_replaced(tmp_path):
    check_settings(*prepared(tmp_path))
    check_settings(*prepared(tmp_path, lr=0.5))
    keep_settings(tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    assert settings["lr"] == 0.5
    assert settings == settings_of(*prepared(tmp_path, lr=0.5))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\0"])
def test_damaged_settings_are_a_clear_message(trained, content):
    (trained / "settings.json").write_bytes(content)
    with pytest.raises(ValueError, match="settings.json is damaged.*delete it"):
        check_settings(*prepared(trained))
    assert (trained / "settings.json").read_bytes() == content


def test_an_object_of_another_class_is_refused(trained, tmp_path):
    other = tmp_path / "other.yaml"
    text = YAML.read_text(encoding="utf-8")
    other.write_text(text.replace("torch.optim.Adam", "torch.optim.AdamW"))
    hparams, run_opts, _, overrides = prepared(trained)
    with pytest.raises(ValueError) as caught:
        check_settings(hparams, run_opts, other, overrides)
    (named,) = [n for n in str(caught.value).splitlines() if n[:2] == "- "]
    assert named == (
        "- opt_class: !name:torch.optim.Adam before, "
        "!name:torch.optim.AdamW now"
    )


def test_another_number_of_processes_is_refused(trained, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="\n- processes: 1 before, 2 now"):
        check_settings(*prepared(trained))


def test_a_list_of_objects_is_compared_by_what_makes_it(trained, tmp_path):
    text = YAML.read_text(encoding="utf-8")
    makes = "\naugment: [!new:torch.nn.Dropout {{p: {}}}, !ref <encoder>]\n"
    yamls = [tmp_path / f"{p}.yaml" for p in (0.1, 0.2)]
    for path, p in zip(yamls, (0.1, 0.2)):
        path.write_text(text + makes.format(p))
    hparams, run_opts, _, overrides = prepared(trained)
    hparams["augment"] = [torch.nn.Dropout(0.1), hparams["encoder"]]
    first, second = (
        settings_of(hparams, run_opts, path, overrides) for path in yamls
    )
    assert first["augment.0.p"] == 0.1 and second["augment.0.p"] == 0.2
    differing = {key for key in first if first[key] != second[key]}
    assert differing == {"augment.0.p"}
