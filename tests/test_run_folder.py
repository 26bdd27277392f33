"""One process and one set of settings for the folder of a run."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import run_folder
from checkpointer import SafeCheckpointer
from recipe import SEPARATION, hparams_of
from run_folder import check_settings, lock_folder, settings_of

import speechbrain as sb

# Locks a folder, makes a child, and tells both numbers.
HOLDER = """
import os, sys, time
from run_folder import lock_folder
lock_folder(sys.argv[1])
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
time.sleep(600)
"""
# Tries to lock a folder.
SECOND = """
import sys
from run_folder import lock_folder
lock_folder(sys.argv[1])
"""


def start(code, folder):
    """Another process that imports the recipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=SEPARATION,
        env={**os.environ, "PYTHONPATH": str(SEPARATION)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def holder(tmp_path_factory):
    """A folder, the process that locked it, and the child it forked."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    process = start(HOLDER, folder)
    _, child = map(int, process.stdout.readline().split())
    yield folder, process, child
    process.kill()
    os.kill(child, signal.SIGKILL)
    process.communicate()


def test_a_second_process_is_refused_and_a_restart_is_not(holder):
    folder, process, child = holder
    for _ in range(2):
        _, message = start(SECOND, folder).communicate()
        last = message.strip().splitlines()[-1]
        assert f"{folder} is in use by process {process.pid} on " in last
        assert "--output_folder" in last
    other = start(SECOND, folder.with_name("other"))
    assert other.communicate()[1] == "" and other.returncode == 0
    process.kill()
    process.wait()
    os.kill(child, 0)  # alive, as workers are for a while
    restarted = start(SECOND, folder)
    assert restarted.communicate()[1] == "" and restarted.returncode == 0
    os.kill(child, 0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/run cannot be written"):
        lock_folder(str(tmp_path / "file/run"))

    def read_only(*arguments, **keywords):
        """What a disk that is mounted read-only answers."""
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("builtins.open", read_only)
    with pytest.raises(ValueError, match="Read-only file system.*name another"):
        lock_folder(str(tmp_path / "run"))


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def no_locks(*arguments):
        """What some network disks answer."""
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    lock_folder(str(tmp_path / "run"))
    assert "No locks available): take care" in caplog.text


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
    return hparams, run_opts


@pytest.fixture
def trained(tmp_path):
    """The save folder of a training that was begun."""
    hparams, run_opts = prepared(tmp_path / "save")
    check_settings(hparams, run_opts)
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
    (["--precision=bf16"], {}, "precision: fp16 before, bf16 now"),
    (["--max_grad_norm=1"], {}, "max_grad_norm: 5.0 before, 1.0 now"),
    (["--grad_accumulation_factor=2"], {}, "grad_accumulation_factor: 6 "),
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
    check_settings(*prepared(trained, *options, **overrides))


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
    settings = json.loads((tmp_path / run_folder.SETTINGS).read_text())
    assert settings["lr"] == 0.5
    assert settings == settings_of(*prepared(tmp_path, lr=0.5))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\0"])
def test_damaged_settings_are_a_clear_message(trained, content):
    (trained / "settings.json").write_bytes(content)
    with pytest.raises(ValueError, match="settings.json is damaged.*delete it"):
        check_settings(*prepared(trained))
    assert (trained / "settings.json").read_bytes() == content
