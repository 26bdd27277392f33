"""Checkpoints are complete or absent, and damaged ones are never loaded."""

import errno
import json
import math
import os
import resource
import shutil

import pytest
import torch
import yaml
from checkpoints.checkpointer import UNSAFE_SWITCH, SafeCheckpointer
from toys import DAMAGES, FILES, flip, loaded, make, names, save

LOG = "checkpoints.checkpointer"


@pytest.fixture
def two(tmp_path):
    """A folder with two checkpoints."""
    saver = make(tmp_path)
    save(saver, 1)
    save(saver, 2)
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_named_and_the_older_checkpoint_taken(
    two, caplog, file, damage
):
    DAMAGES[damage](two / "CKPT+2" / file)
    assert loaded(two) == 1
    (message,) = [r.getMessage() for r in caplog.records if r.name == LOG]
    assert str(two / "CKPT+2") in message and "BROKEN+2" in message
    # Of the sums themselves, damage shows in the first file they do not match.
    assert file in message or file == "sha256.json"
    assert names(two) == ["BROKEN+2", "CKPT+1"]


@pytest.mark.parametrize("sums", ["{}", "[]", "3"])
def test_sums_of_another_form_are_damage(two, caplog, sums):
    (two / "CKPT+2/sha256.json").write_text(sums)
    assert loaded(two) == 1
    assert sums != "{}" or "CKPT.yaml is missing" in caplog.text


def test_a_meta_that_is_damaged_later_does_not_stop_a_save(two):
    saver = make(two)
    DAMAGES["emptied"](two / "CKPT+2/CKPT.yaml")
    save(saver, 3)
    found = {checkpoint.path.name for checkpoint in saver.list_checkpoints()}
    assert found == {"CKPT+1", "CKPT+3"}


def test_more_than_one_may_be_damaged_and_so_a_later_one_of_that_name(two):
    for name in ("network.ckpt", "optimizer.ckpt"):
        shutil.copytree(two / "CKPT+1", two / "CKPT+2", dirs_exist_ok=True)
        shutil.copytree(two / "CKPT+1", two / "CKPT+3")
        flip(two / "CKPT+2" / name)
        flip(two / "CKPT+3" / name)
        assert loaded(two) == 1
        assert names(two) == ["BROKEN+2", "BROKEN+3", "CKPT+1"]


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


def test_all_is_on_disk_before_and_after_the_renaming(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace

    def traced_fsync(descriptor):
        """Notes what is synced, and how much of it is there."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        done.append((os.path.basename(path), os.fstat(descriptor).st_size))
        fsync(descriptor)

    def traced_replace(old, new):
        """Notes that the checkpoint gets its name."""
        done.append("renamed")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    path = make(tmp_path / "saves").save_checkpoint().path
    renamed = done.index("renamed")
    *synced, last = done[:renamed]
    assert sorted(synced) == [
        (name, (path / name).stat().st_size) for name in FILES
    ]
    assert last[0] == f".{path.name}"
    assert [name for name, _ in done[renamed + 1 :]] == ["saves"]


# Calls that make a checkpoint, in their order; "to disk" is the one that follows
# the renaming.
SAVING = [
    *((os, "makedirs", 1), (yaml, "dump", 1), (torch, "save", 1)),
    *((torch, "save", 2), (torch, "save", 3), (json, "dump", 1)),
    *((os, "fsync", number) for number in (1, 4, 7)),
    (os, "replace", 1),
]
SYNCED = (os, "fsync", len(FILES) + 2)


def kill():
    """Ends the process at once."""
    os._exit(9)


def fill_the_disk():
    """Answers as a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(monkeypatch, owner, name, number, stop):
    """Stops at the number-th call of a function, after half of its work."""
    method, calls = getattr(owner, name), []

    def stopping(*arguments, **keywords):
        """The function itself, but for that call."""
        calls.append(0)
        if len(calls) == number:
            if name in ("save", "dump"):
                method(*arguments, **keywords)
            stop()
        return method(*arguments, **keywords)

    monkeypatch.setattr(owner, name, stopping)


@pytest.mark.parametrize("owner, name, number", [*SAVING, SYNCED])
@pytest.mark.parametrize("stop", [kill, fill_the_disk])
def test_a_kill_or_a_full_disk_during_a_save_leaves_whole_checkpoints(
    two, monkeypatch, stop, owner, name, number
):
    saver = make(two)
    if (process := os.fork()) == 0:
        try:
            interrupted(monkeypatch, owner, name, number, stop)
            save(saver, 3)
        except OSError as error:
            os._exit(9 if "intact: make room" in str(error) else 1)
        finally:
            os._exit(0)  # the call never came
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    newest = 3 if (owner, name, number) == SYNCED else 2
    whole = [f"CKPT+{n}" for n in range(1, newest + 1)]
    found = names(two)
    assert [n for n in found if n != ".CKPT+3" or stop != kill] == whole
    assert loaded(two) == newest
    assert names(two) == whole
    if newest == 2:
        save(saver, 3)
        assert loaded(two) == 3


@pytest.mark.parametrize("limit_bytes", [0, 10, 1000])
def test_a_file_that_the_system_cuts_off_is_an_error(two, limit_bytes):
    saver = make(two)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(OSError, match="a checkpoint cannot be written"):
            save(saver, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(two) == ["CKPT+1", "CKPT+2"]
    assert loaded(two) == 2


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_not_saved(two, value):
    saver = make(two)
    with pytest.raises(ValueError, match="network.weight is not finite"):
        save(saver, value)
    assert names(two) == ["CKPT+1", "CKPT+2"]


def test_a_folder_without_checkpoints_and_one_that_fails(tmp_path):
    assert make(tmp_path).recover_if_possible(max_key="score") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/save cannot be written"):
        SafeCheckpointer(tmp_path / "file/save")


@pytest.mark.parametrize(
    "package, found", [("torch", "2.5.1"), ("speechbrain", "1.1.1")]
)
def test_packages_whose_checkpoints_run_code_are_refused(
    tmp_path, monkeypatch, package, found
):
    installed = tmp_path / f"{package}-{found}.dist-info/METADATA"
    installed.parent.mkdir()
    installed.write_text(f"Name: {package}\nVersion: {found}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"{package}: .*found {found}; older"):
        make(tmp_path / "save")


def test_a_switch_that_lets_checkpoints_run_code_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setenv(UNSAFE_SWITCH, "0")
    make(tmp_path)
    for value in ("1", "YES"):
        monkeypatch.setenv(UNSAFE_SWITCH, value)
        with pytest.raises(ValueError, match=f"{UNSAFE_SWITCH} lets .* unset"):
            make(tmp_path)
