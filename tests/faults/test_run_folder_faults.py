"""The folder of a run belongs to one process, and to one training."""

import os
import re
import shutil
import signal
import time
from functools import partial

import pytest
from promises import LOCK, SETTINGS
from recipe import SAMPLES
from run_folders import contents, equal, trace


@pytest.fixture
def folder(server, once, tmp_path):
    """A copy of a run that was killed in its second epoch."""
    kill = partial(server.run, code=-9, faults=[("fit_batch", 8, "SIGKILL")])
    return shutil.copytree(once("killed", kill), tmp_path / "run")


def sleeps(process):
    """Whether a process was stopped."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.promise(LOCK)
def test_two_runs_in_one_folder(server, whole, tmp_path):
    folder = tmp_path / "run"
    first = server.start_faulty(folder, faults=[("fit_batch", 6, "SIGSTOP")])
    try:
        while not sleeps(first.process):
            time.sleep(0.05)
        before = contents(folder)
        _, process, output = server.run(folder, "--lr=0.5", code=1)
        last = output.strip().splitlines()[-1]
        assert f"{folder} is in use by process {first.process} on " in last
        assert process != first.process and contents(folder) == before
    finally:
        os.kill(first.process, signal.SIGCONT)
        ended = first.end()
    assert ended.code == 0, ended.output[-3000:]
    assert equal(folder, whole)


def trained_files(folder):
    """Checkpoints, settings and log."""
    kept = re.compile("CKPT|settings|train_log")
    return {n: x for n, x in contents(folder).items() if kept.search(n)}


@pytest.mark.promise(SETTINGS)
def test_changed_settings(server, whole, folder, tmp_path):
    before = trained_files(folder)
    corpus = shutil.copytree(SAMPLES, tmp_path / "corpus")
    (table,) = corpus.glob("train/*.csv")
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    options = ["--lr=0.02", f"--data_folder={corpus}"]
    output = server.run(folder, *options, code=1).output
    found = [line for line in output.splitlines() if line.startswith("- ")]
    assert found[0] == "- lr: 0.01 before, 0.02 now" and len(found) == 2
    assert found[1].startswith("- train data (hash): ")
    assert "--resume_changed=True" in output
    assert trained_files(folder) == before
    assert not trace(folder, "batch")
    # As it was, it goes on.
    server.succeed(folder)
    assert equal(folder, whole)


@pytest.mark.promise(SETTINGS, control=True)
def test_resume_changed(server, whole, folder):
    options = ["--lr=0.02", "--resume_changed=True"]
    output = server.succeed(folder, *options)
    named = "resumed with another setting: lr: 0.01 before, 0.02 now"
    assert named in output
    assert "Loading a checkpoint from" in output
    assert not equal(folder, whole)
    server.run(folder, code=1)  # the settings are the new ones


@pytest.mark.promise(SETTINGS)
def test_resume_with_another_model(server, whole, folder):
    options = ["--N=16", "--resume_changed=True"]
    output = server.run(folder, *options, code=1).output
    assert "another size or number of outputs" in output
    # The settings are still those of the checkpoints.
    server.succeed(folder)
    assert equal(folder, whole)
