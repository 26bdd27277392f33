"""The meta of checkpoints, and which checkpoints are kept."""

import math
import time

import numpy as np
import pytest
import torch
import yaml
from test_checkpointer import loaded, make, names, save

from speechbrain.utils.checkpoints import Checkpointer


def keep_one(saver, number, meta):
    """Saves as the recipe does at the end of an epoch."""
    with torch.no_grad():
        saver.recoverables["network"].weight.fill_(number)
    saver.save_and_keep_only(name=str(number), meta=meta, max_keys=["score"])


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(3), 3),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        ("text", "text"),
        (None, None),
        (True, True),
    ],
)
def test_meta_is_plain(tmp_path, value, expected):
    saver = make(tmp_path)
    saved = save(saver, 1, meta={"score": value})
    text = (saved.path / "CKPT.yaml").read_text()
    for meta in (saved.meta, yaml.safe_load(text)):
        assert meta["score"] == expected
        assert type(meta["score"]) is type(expected)
        assert "invalid" not in meta
    assert loaded(tmp_path) == 1


NOT_FINITE = [
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    torch.tensor(math.nan),
    torch.tensor(math.inf),
]


@pytest.mark.parametrize("value", NOT_FINITE, ids=repr)
def test_a_number_that_is_not_finite_is_listed_and_never_the_best(
    tmp_path, value
):
    saver = make(tmp_path)
    keep_one(saver, 1, {"score": 1.0})
    for number in (2, 3, 4):
        keep_one(saver, number, {"score": value, "epoch": number})
    newest = saver.find_checkpoint()
    assert newest.meta["invalid"] == ["score"] and newest.meta["epoch"] == 4
    assert names(tmp_path) == ["CKPT+1", "CKPT+3", "CKPT+4"]
    for key in ("max_key", "min_key"):
        assert loaded(tmp_path, **{key: "score"}) == 1
    assert loaded(tmp_path) == 4


@pytest.mark.parametrize(
    "value", [torch.zeros(1, 2).shape, {"a": 1}, object(), pytest]
)
def test_meta_that_no_start_could_read_is_refused(tmp_path, value):
    saver = make(tmp_path)
    save(saver, 1)
    with pytest.raises(TypeError, match="meta score: expected a number"):
        save(saver, 2, meta={"score": value})
    assert names(tmp_path) == ["CKPT+1"]


def test_a_mistyped_key_is_an_error(tmp_path):
    save(make(tmp_path), 1)
    for key in ("max_key", "min_key"):
        with pytest.raises(ValueError, match="has the key si_sdr"):
            make(tmp_path).recover_if_possible(**{key: "si_sdr"})


def test_the_best_and_the_last_two_are_kept(tmp_path):
    saver = make(tmp_path)
    for number, score in enumerate([5, 9, 7, 8, 1, 2], start=1):
        keep_one(saver, number, {"score": score})
    assert names(tmp_path) == ["CKPT+2", "CKPT+5", "CKPT+6"]
    assert loaded(tmp_path, max_key="score") == 2
    assert loaded(tmp_path) == 6


def test_checkpoints_within_an_epoch_do_not_pile_up(tmp_path):
    saver = make(tmp_path)
    kept = []
    for number in range(1, 13):
        if number % 4 == 0:
            keep_one(saver, number, {"score": -number})
        else:
            saver.save_and_keep_only(
                name=str(number),
                meta={"within": True},
                end_of_epoch=False,
                ckpt_predicate=lambda found: "within" in found.meta,
            )
        kept.append([int(n.partition("+")[2]) for n in names(tmp_path)])
        assert number in kept[-1]
    assert max(map(len, kept)) == 4
    assert sorted(kept[-1]) == [4, 11, 12]


def test_the_list_of_rules_does_not_grow(tmp_path):
    saver = make(tmp_path)
    rules = []
    default = str(Checkpointer.save_and_keep_only.__defaults__)
    for number in (1, 2, 3):
        saver.save_and_keep_only(name=str(number))
        saver.save_and_keep_only(name=f"{number}a", importance_keys=rules)
    assert rules == []
    assert str(Checkpointer.save_and_keep_only.__defaults__) == default


def test_a_kill_during_a_deletion_leaves_no_half_checkpoint(
    tmp_path, monkeypatch
):
    saver = make(tmp_path)
    for number in (1, 2):
        keep_one(saver, number, {"score": -number})
    keep_one(saver, 3, {"score": 0})

    def cut_off(folder, **options):
        """Deletes one file of a folder."""
        next(iter(folder.iterdir())).unlink()

    with monkeypatch.context() as patch:
        patch.setattr("checkpoints.checkpointer.shutil.rmtree", cut_off)
        keep_one(saver, 4, {"score": 9})
    assert any(name.startswith(".CKPT+") for name in names(tmp_path))
    assert loaded(tmp_path) == 4
    assert names(tmp_path) == ["CKPT+3", "CKPT+4"]


def test_a_clock_that_is_behind_loses_nothing(tmp_path, monkeypatch):
    saver = make(tmp_path)
    now = time.time()
    for number in (1, 2, 3, 4):
        monkeypatch.setattr(time, "time", lambda: now - 3600 * number)
        keep_one(saver, number, {"score": 1})
    monkeypatch.undo()
    assert loaded(tmp_path) == 4


def test_ids_count_up_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    saver = make(tmp_path)
    stamps = [saver.save_checkpoint().path.name for _ in range(3)]
    assert [stamp[-3:] for stamp in stamps] == ["+00", "+01", "+02"]
    assert names(tmp_path) == stamps
    assert saver.find_checkpoint().path.name == stamps[-1]
