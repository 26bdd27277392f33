"""A training is resumed with the settings that it began with, or refused."""

import json
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


CHANGES = [
    ({"lr": 0.5}, "lr: 0.001 before, 0.5 now"),
    ({"seed": 1}, "seed: 1234 before, 1 now"),
    ({"batch_size": 5}, "batch_size: 4 before, 5 now"),
    ({"task": "SB"}, "task: ES before, SB now"),
    ({"N": 32}, "N: 8 before, 32 now"),
    ({"segment_seconds": None}, "segment_seconds: 4.0 before, None now"),
    ({"n_train": 2}, "n_train: None before, 2 now"),
    ({"opt_class": {"lr": 2.0}}, "opt_class.lr: 0.001 before, 2.0 now"),
    (
        {"lr_scheduler": {"factor": 0.5}},
        "lr_scheduler.factor: 0.95 before, 0.5 now",
    ),
    ({"masknet": {"R": 2}}, "masknet.R: 4 before, 2 now"),
]


@pytest.mark.parametrize("overrides, text", CHANGES)
def test_what_changed_is_refused_by_name_and_nothing_else_is_named(
    trained, caplog, overrides, text
):
    path = trained / "save" / SETTINGS
    before = path.read_bytes()
    assert named(trained, **overrides) == [text]
    assert path.read_bytes() == before
    assert "another setting" not in caplog.text

    new = settings(trained, **overrides)
    check_settings(trained / "save", new, resume_changed=True)
    assert f"resumed with another setting: {text}" in caplog.text
    # Not before the checkpoint has been loaded with them.
    assert path.read_bytes() == before
    keep_settings(trained / "save")
    assert named(trained, **overrides) == []


def test_two_changes_with_the_same_values_are_both_named(trained):
    found = named(trained, X=3, P=4, R=5)
    assert [text.split(":")[0] for text in found] == ["P", "R", "X"]


def test_lists_are_compared(trained):
    stage = {"epoch": 2, "variants": ["S"]}
    assert named(trained, curriculum=[stage]) == [
        f"curriculum: [] before, {[stage]} now"
    ]
    found = named(trained, variants=["SER", "SE"])
    assert found[0].startswith("variants: ") and "['SER', 'SE'] now" in found[0]


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"max_grad_norm": 1.0},
        {"grad_accumulation_factor": 2},
        {"compile": True},
    ],
)
def test_changed_run_options_are_refused(trained, options):
    ((key, value),) = options.items()
    text = f"{key}: {OPTIONS[key]} before, {value} now"
    assert named(trained, options=options) == [text]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_changed_data_is_refused(trained, split):
    with open(trained / f"save/{split}_SER.csv", "a", encoding="utf-8") as file:
        file.write("one more\n")
    (text,) = named(trained)
    assert text.startswith(f"{split} data (hash): ")


def test_another_number_of_processes_is_refused(trained, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert named(trained) == ["processes: 1 before, 2 now"]


def test_an_object_of_another_class_is_refused(trained):
    text = YAML.replace("torch.optim.Adam", "torch.optim.AdamW")
    assert named(trained, text) == [
        "opt_class: !name:torch.optim.Adam before, !name:torch.optim.AdamW now"
    ]


def test_a_reference_to_another_object_is_refused(trained):
    """The key that refers to it is named, not all that lies below it."""
    text = YAML.replace(
        "separator: !ref <separator>\n", "separator: !ref <decoder>\n"
    )
    assert named(trained, text) == [
        "modules.separator: <separator> before, <decoder> now"
    ]


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
        {"data_folder": "/elsewhere"},
        {"save_folder": "/elsewhere"},
        {"test_variants": ["S"]},
        {"n_test": 3},
        {"skip_prep": True},
        {"save_audio": 3},
    ],
)
def test_settings_without_influence_may_change(trained, overrides):
    assert named(trained, **overrides) == []


def test_test_data_may_change_and_a_run_may_move(trained, tmp_path):
    (trained / "save/test_SER.csv").write_text("another")
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(trained / "save", moved)
    assert named(moved) == []


def test_settings_without_checkpoints_are_replaced(tmp_path):
    first, second = settings(tmp_path), settings(tmp_path, lr=0.5)
    save = tmp_path / "save"
    check_settings(save, first)
    keep_settings(save)
    check_settings(save, second)
    keep_settings(save)
    assert json.loads((save / SETTINGS).read_text())["lr"] == 0.5
    assert not list(save.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\0"])
def test_damaged_settings_are_a_clear_message(trained, content):
    path = trained / "save" / SETTINGS
    path.write_bytes(content)
    with pytest.raises(ValueError, match="settings.json is damaged.*delete it"):
        check_settings(trained / "save", settings(trained))
    assert path.read_bytes() == content
