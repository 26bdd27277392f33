"""A training is resumed with the settings that it began with, or refused."""

import json
import os
import shutil
from types import SimpleNamespace

import pytest
import yaml
from checkpoints.checkpointer import SafeCheckpointer
from hyperpyyaml import resolve_references
from recipe import HPARAMS
from runs.settings import SETTINGS, check_settings, keep_settings, settings_of

YAML = (HPARAMS / "convtasnet.yaml").read_text(encoding="utf-8")
OPTIONS = {
    "precision": "fp32",
    "grad_accumulation_factor": 6,
    "max_grad_norm": 5.0,
    "remove_vector_weight_decay": False,
    "compile": False,
    "jit": False,
}


def settings(folder, text=YAML, options=None, **overrides):
    """The settings of a prepared run with that YAML, overrides and options."""
    save = folder / "save"
    save.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        if not (save / f"{split}_SER.csv").exists():
            (save / f"{split}_SER.csv").write_text(f"ID\n{split}\n")
    overrides = {"N": 8, "output_folder": str(folder), **overrides}
    resolved = resolve_references(text, yaml.safe_dump(overrides)).read()
    (folder / "hyperparams.yaml").write_text(resolved, encoding="utf-8")
    folders = {"output_folder": str(folder), "save_folder": str(save)}
    brain = SimpleNamespace(
        hparams=SimpleNamespace(**folders), **{**OPTIONS, **(options or {})}
    )
    return settings_of(brain)


@pytest.fixture
def trained(tmp_path):
    """The output folder of a training that was begun."""
    check_settings(tmp_path / "save", settings(tmp_path))
    keep_settings(tmp_path / "save")
    SafeCheckpointer(tmp_path / "save").save_checkpoint()
    return tmp_path


def named(trained, *arguments, **keywords):
    """Lists the differences named when a training is resumed."""
    new = settings(trained, *arguments, **keywords)
    try:
        check_settings(trained / "save", new)
    except ValueError as error:
        assert "--resume_changed=True" in str(error)
        return [n[2:] for n in str(error).splitlines() if n.startswith("- ")]
    return []


def test_what_changed_is_refused_until_one_insists(trained, caplog):
    path = trained / "save" / SETTINGS
    before = path.read_bytes()
    assert named(trained, lr=0.5) == ["lr: 0.001 before, 0.5 now"]
    assert path.read_bytes() == before
    assert "another setting" not in caplog.text
    check_settings(trained / "save", settings(trained, lr=0.5), True)
    assert "resumed with another setting: lr: 0.001 before, 0.5 now" in (
        caplog.text
    )
    # Not before the checkpoint has been loaded with them.
    assert path.read_bytes() == before
    keep_settings(trained / "save")
    # A run may move.
    shutil.copytree(trained / "save", trained / "moved/save")
    assert named(trained / "moved", lr=0.5) == []


STAGE = {"epoch": 2, "variants": ["S"]}


@pytest.mark.parametrize(
    "overrides, texts",
    [
        ({"seed": 1}, ["seed: 1234 before, 1 now"]),
        ({"segment_seconds": None}, ["segment_seconds: 4.0 before, None now"]),
        (
            {"n_train": 1, "opt_class": {"lr": 2.0}, "masknet": {"R": 2}},
            [
                "masknet.R: 4 before, 2 now",
                "n_train: None before, 1 now",
                "opt_class.lr: 0.001 before, 2.0 now",
            ],
        ),
        (
            {"train_loader_kwargs": {"batch_size": 5}},
            ["train_loader_kwargs.batch_size: 4 before, 5 now"],
        ),
        # masknet.R follows R, and is not named.
        ({"P": 4, "R": 5}, ["P: 3 before, 4 now", "R: 4 before, 5 now"]),
        ({"X": 3, "R": 3}, ["R: 4 before, 3 now", "X: 8 before, 3 now"]),
        ({"curriculum": [STAGE]}, [f"curriculum: [] before, {[STAGE]} now"]),
        *(
            ({"options": {name: value}}, [f"{name}: {old} before, {value} now"])
            for (name, old), value in zip(
                OPTIONS.items(), ("bf16", 2, 1.0, True, True, True)
            )
        ),
    ],
)
def test_each_change_is_named_and_nothing_else(trained, overrides, texts):
    assert named(trained, **overrides) == texts


@pytest.mark.parametrize(
    "old, new, text",
    [
        (
            "optimization.parameter_groups.Adam",
            "torch.optim.AdamW",
            "opt_class: !name:optimization.parameter_groups.Adam before, "
            "!name:torch.optim.AdamW now",
        ),
        # The key that refers to it is named, not all that lies below it.
        (
            "modules: {separator: !ref <separator>}\n",
            "modules: {separator: !ref <decoder>}\n",
            "modules.separator: <separator> before, <decoder> now",
        ),
        ("\nseed: ", "\nmore: 1\nseed: ", "more: None before, 1 now"),
    ],
)
def test_another_class_reference_or_key_is_named(trained, old, new, text):
    assert named(trained, YAML.replace(old, new)) == [text]


def test_changed_data_or_number_of_processes_is_refused(trained, monkeypatch):
    for split in ("train", "valid", "test"):
        with open(trained / f"save/{split}_SER.csv", "a") as file:
            file.write("one more\n")
    monkeypatch.setenv("WORLD_SIZE", "2")
    processes, *data = named(trained)
    assert processes == "processes: 1 before, 2 now"
    assert [d.partition(":")[0] for d in data] == [
        "train data (hash)",
        "valid data (hash)",
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        {
            "number_of_epochs": 99,
            "early_stopping_epochs": 9,
            "average_best": 3,
            "num_workers": 1,
            "skip_prep": True,
        },
        {"init_from": "/a/run", "data_folder": "/x", "save_folder": "/x"},
        {"eval_loader_kwargs": {"num_workers": 2}},
        {"train_loader_kwargs": {"persistent_workers": False}},
        {"lr_scheduler": {"factor": "95e-2"}},
        {"ckpt_interval_minutes": 3, "metrics": ["si_sdr"], "save_audio": 3},
        {"test_variants": ["S"], "n_test": 3},
    ],
)
def test_settings_without_influence_may_change(trained, overrides):
    assert named(trained, **overrides) == []


def test_settings_are_synced_and_those_without_checkpoints_replaced(
    tmp_path, monkeypatch
):
    save, synced = tmp_path / "save", []
    first, second = settings(tmp_path), settings(tmp_path, lr=0.5)
    monkeypatch.setattr(
        os,
        "fsync",
        lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")),
    )
    for new in (first, second):
        check_settings(save, new)
        keep_settings(save)
    assert synced == [str(save / "settings.partial")] * 2
    assert json.loads((save / SETTINGS).read_text())["lr"] == 0.5
    assert not list(save.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\0"])
def test_damaged_settings_are_a_clear_message(trained, content):
    path = trained / "save" / SETTINGS
    path.write_bytes(content)
    with pytest.raises(ValueError, match="settings.json is damaged.*delete it"):
        check_settings(trained / "save", settings(trained))
    assert path.read_bytes() == content
