"""The meta of checkpoints, and which checkpoints are kept."""

import math
import shutil
import time

import numpy as np
import pytest
import torch
import yaml
from toys import keep, loaded, make, names, save


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.tensor(3), 3),
        ("text", "text"),
        (None, None),
        (True, True),
    ],
)
def test_meta_is_plain(tmp_path, value, expected):
    saved = save(make(tmp_path), 1, meta={"score": value})
    text = (saved.path / "CKPT.yaml").read_text()
    for meta in (saved.meta, yaml.safe_load(text)):
        assert meta["score"] == expected
        assert type(meta["score"]) is type(expected)
        assert "invalid" not in meta


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, np.float32("nan"), torch.tensor(math.inf)],
)
def test_a_number_that_is_not_finite_is_listed_and_never_the_best(
    tmp_path, value
):
    saver = make(tmp_path)
    keep(saver, 1, meta={"score": 1.0})
    for number in (2, 3, 4):
        keep(saver, number, meta={"score": value, "epoch": number})
    newest = saver.find_checkpoint()
    assert newest.meta["invalid"] == ["score"] and newest.meta["epoch"] == 4
    assert names(tmp_path) == ["CKPT+1", "CKPT+3", "CKPT+4"]
    for key in ("max_key", "min_key"):
        assert loaded(tmp_path, **{key: "score"}) == 1
    assert loaded(tmp_path) == 4


@pytest.mark.parametrize("value", [{"a": 1}, torch.Size([1]), object()])
def test_meta_that_no_start_could_read_is_refused(tmp_path, value):
    saver = make(tmp_path)
    with pytest.raises(TypeError, match="meta score: expected a number"):
        save(saver, 1, meta={"score": value})
    assert names(tmp_path) == []


def test_a_mistyped_key_is_an_error(tmp_path):
    save(make(tmp_path), 1)
    for key in ({"max_key": "si_sdr"}, {"min_key": "si_sdr"}):
        with pytest.raises(ValueError, match="has the key si_sdr"):
            make(tmp_path).recover_if_possible(**key)


@pytest.mark.parametrize("key, best", [("max_keys", 2), ("min_keys", 4)])
def test_the_best_and_the_last_two_are_kept(tmp_path, key, best):
    saver = make(tmp_path)
    for number, score in enumerate([5, 9, 7, 1, 8, 2], start=1):
        options = {"max_keys": [], key: ["score"]}
        keep(saver, number, meta={"score": score}, **options)
    assert names(tmp_path) == [f"CKPT+{best}", "CKPT+5", "CKPT+6"]
    assert loaded(tmp_path, **{key[:-1]: "score"}) == best
    assert loaded(tmp_path) == 6


def test_checkpoints_within_an_epoch_do_not_pile_up(tmp_path):
    saver, kept = make(tmp_path), []
    for number in range(1, 13):
        if number % 4 == 0:
            keep(saver, number, meta={"score": -number})
        else:
            keep(
                saver,
                number,
                max_keys=[],
                meta={"within": True},
                end_of_epoch=False,
                ckpt_predicate=lambda found: "within" in found.meta,
            )
        kept.append({int(n.partition("+")[2]) for n in names(tmp_path)})
    assert kept[:4] == [{1}, {1, 2}, {2, 3}, {3, 4}]
    assert kept[8:] == [{4, 8, 9}, {4, 8, 9, 10}, {4, 8, 10, 11}, {4, 11, 12}]


def test_the_list_of_rules_does_not_grow(tmp_path):
    rules = []
    keep(make(tmp_path), 1, importance_keys=rules)
    assert rules == []


def test_a_kill_during_a_deletion_leaves_no_half_checkpoint(
    tmp_path, monkeypatch
):
    saver, cut = make(tmp_path), []
    for number in (1, 2, 3):
        keep(saver, number, meta={"score": number})

    def cut_off(folder, **options):
        """Deletes one file of a folder."""
        cut.append(folder.name)
        next(iter(folder.iterdir())).unlink()

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut_off)
        keep(saver, 4, meta={"score": 9})
    assert cut == [".CKPT+2"]
    assert names(tmp_path) == [".CKPT+2", "CKPT+3", "CKPT+4"]
    assert loaded(tmp_path) == 4
    assert names(tmp_path) == ["CKPT+3", "CKPT+4"]


def test_a_clock_that_is_behind_loses_nothing(tmp_path, monkeypatch):
    saver, now = make(tmp_path), time.time()
    for number in (1, 2, 3, 4):
        monkeypatch.setattr(time, "time", lambda: now - 3600 * number)
        keep(saver, number, meta={"score": 1})
    monkeypatch.undo()
    assert loaded(tmp_path) == 4


def test_ids_count_up_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    saver = make(tmp_path)
    stamps = [saver.save_checkpoint().path.name for _ in range(3)]
    assert [stamp[-3:] for stamp in stamps] == ["+00", "+01", "+02"]
    assert saver.find_checkpoint().path.name == stamps[-1]
