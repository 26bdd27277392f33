"""Checkpoints are complete or absent, and damaged ones are never loaded."""

import errno
import json
import logging
import math
import os
import resource
import shutil

import pytest
import torch
from checkpoints import checkpointer, checksums
from checkpoints.checkpointer import UNSAFE_SWITCH, SafeCheckpointer
from checkpoints.random_state import RandomState
from runs import folder

from speechbrain.utils.epoch_loop import EpochCounter

LOG = "checkpoints.checkpointer"


class KillError(BaseException):
    """Stands for a kill: nothing catches it, nothing cleans up."""


def make(folder):
    """A checkpointer with recoverables of several kinds."""
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimizer.step()
    return SafeCheckpointer(
        folder,
        {
            "network": network,
            "optimizer": optimizer,
            "counter": EpochCounter(10),
            "random": RandomState(),
        },
    )


def save(saver, number, **options):
    """Saves a checkpoint whose weights are a number, deleting nothing."""
    with torch.no_grad():
        saver.recoverables["network"].weight.fill_(number)
    options.setdefault("meta", {"score": number})
    return saver.save_checkpoint(name=str(number), **options)


def loaded(folder, **options):
    """The number of the checkpoint from which a new process starts."""
    saver = make(folder)
    found = saver.recover_if_possible(**options)
    weight = saver.recoverables["network"].weight
    assert (weight == weight[0, 0]).all()
    assert found.path.name == f"CKPT+{weight[0, 0].item():g}"
    return weight[0, 0].item()


def names(folder):
    """Lists a folder."""
    return sorted(os.listdir(folder))


@pytest.fixture
def two(tmp_path):
    """A folder with two checkpoints."""
    saver = make(tmp_path)
    save(saver, 1)
    save(saver, 2)
    return tmp_path


FILES = (
    "CKPT.yaml counter.ckpt network.ckpt optimizer.ckpt random.ckpt sha256.json"
).split()


def flip(path):
    """Changes one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: -len(p.name)]),
    "emptied": lambda p: p.write_bytes(b""),
    "zeroed": lambda p: p.write_bytes(bytes(p.stat().st_size)),
    "deleted": lambda p: p.unlink(),
    "flipped": flip,
}


def test_a_checkpoint_holds_these_files_readable_without_executing_code(two):
    assert names(two) == ["CKPT+1", "CKPT+2"]
    assert names(two / "CKPT+2") == FILES
    for name in ("network", "optimizer", "random"):
        torch.load(two / f"CKPT+2/{name}.ckpt", weights_only=True)
    assert loaded(two) == 2
    sums = json.loads((two / "CKPT+2/sha256.json").read_text())
    assert sorted(sums) == [
        name for name in FILES if name != checksums.CHECKSUMS
    ]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_named_and_the_older_checkpoint_taken(
    two, caplog, file, damage
):
    DAMAGES[damage](two / "CKPT+2" / file)
    with caplog.at_level(logging.WARNING, LOG):
        assert loaded(two) == 1
    (message,) = [r.getMessage() for r in caplog.records if r.name == LOG]
    assert str(two / "CKPT+2") in message and "BROKEN+2" in message
    # Of the sums themselves, damage shows in the first file they do not match.
    assert file in message or file == checksums.CHECKSUMS
    assert names(two) == ["BROKEN+2", "CKPT+1"]
    assert loaded(two) == 1


def test_a_later_checkpoint_of_the_same_name_may_be_damaged_too(two):
    shutil.copytree(two / "CKPT+2", two / "backup")
    flip(two / "CKPT+2/network.ckpt")
    assert loaded(two) == 1
    shutil.copytree(two / "backup", two / "CKPT+2")
    flip(two / "CKPT+2/optimizer.ckpt")
    assert loaded(two) == 1


def test_all_damaged_stops_with_the_list_each_time(two):
    flip(two / "CKPT+1/CKPT.yaml")
    flip(two / "CKPT+2/network.ckpt")
    for _ in range(2):
        saver = make(two)
        weight = saver.recoverables["network"].weight.clone()
        with pytest.raises(ValueError, match="can be trusted") as caught:
            saver.recover_if_possible()
        for part in ("CKPT+1: CKPT.yaml is", "CKPT+2: network.ckpt is"):
            assert part in str(caught.value)
        assert names(two) == ["CKPT+1", "CKPT+2"]
        assert torch.equal(weight, saver.recoverables["network"].weight)


STEPS = {
    "makedirs": (checkpointer.os, "makedirs"),
    "the meta": (SafeCheckpointer, "_save_checkpoint_metafile"),
    "a saver": (torch, "save"),
    "the sums": (checksums.json, "dump"),
    "to disk": (folder.os, "fsync"),
    "the name": (checkpointer.os, "replace"),
}


def fail_at_call(monkeypatch, step, number, error):
    """Lets the number-th call of a step raise, after half of its work."""
    owner, name = STEPS[step]
    method, calls = getattr(owner, name), []

    def failing(*arguments, **keywords):
        """The method itself, but for that call."""
        calls.append(0)
        if len(calls) == number:
            if name in ("save", "dump"):
                method(*arguments, **keywords)
            raise error
        return method(*arguments, **keywords)

    monkeypatch.setattr(owner, name, failing)


PLACES = [(step, 1) for step in STEPS] + [
    ("a saver", 2),
    ("a saver", 3),
    ("to disk", 4),
    ("to disk", 7),
]


@pytest.mark.parametrize("step, number", PLACES)
def test_a_kill_during_a_save_leaves_the_checkpoints_before(
    two, monkeypatch, step, number
):
    saver = make(two)
    with monkeypatch.context() as patch:
        patch.setattr(SafeCheckpointer, "_remove_leftovers", lambda self: 0)
        fail_at_call(patch, step, number, KillError())
        with pytest.raises(KillError):
            save(saver, 3)
    assert set(names(two)) - {".CKPT+3"} == {"CKPT+1", "CKPT+2"}
    assert loaded(two) == 2
    assert names(two) == ["CKPT+1", "CKPT+2"]
    save(saver, 3)
    assert loaded(two) == 3


def test_a_kill_after_the_renaming_leaves_a_whole_checkpoint(two, monkeypatch):
    saver = make(two)
    with monkeypatch.context() as patch:
        patch.setattr(SafeCheckpointer, "_remove_leftovers", lambda self: 0)
        fail_at_call(patch, "to disk", len(FILES) + 2, KillError())
        with pytest.raises(KillError):
            save(saver, 3)
    assert loaded(two) == 3


@pytest.mark.parametrize("step, number", PLACES)
def test_a_full_disk_is_an_error_and_leaves_nothing(
    two, monkeypatch, step, number
):
    saver = make(two)
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        fail_at_call(patch, step, number, full)
        with pytest.raises(OSError, match="No space left"):
            save(saver, 3)
    assert names(two) == ["CKPT+1", "CKPT+2"]
    assert loaded(two) == 2
    save(saver, 3)
    assert loaded(two) == 3


@pytest.mark.parametrize("limit_bytes", [0, 10, 1000])
def test_a_file_that_the_system_cuts_off_is_an_error(two, limit_bytes):
    saver = make(two)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises((OSError, RuntimeError)) as caught:
            save(saver, 3)
        found = names(two)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value)
    assert found == ["CKPT+1", "CKPT+2"]
    assert loaded(two) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_not_saved(two, value):
    saver = make(two)
    with pytest.raises(ValueError, match="network.weight is not finite"):
        save(saver, value)
    assert names(two) == ["CKPT+1", "CKPT+2"]
    assert loaded(two) == 2


def test_without_checkpoints_nothing_is_loaded(tmp_path):
    assert make(tmp_path).recover_if_possible(max_key="score") is None


def test_a_switch_that_lets_checkpoints_run_code_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(UNSAFE_SWITCH, "1")
    with pytest.raises(ValueError, match=f"{UNSAFE_SWITCH} lets .* unset it"):
        make(tmp_path)
    monkeypatch.setenv(UNSAFE_SWITCH, "0")
    make(tmp_path)
