"""The folder of a run belongs to one process, and to one training."""

import os
import shutil
import signal
import time

import pytest
from by_night import by_night
from promises import LOCK, SETTINGS
from recipe import SAMPLES
from run_folders import contents, equal, trace


@pytest.fixture
def folder(server, once, tmp_path):
    """A copy of a run that was killed in its second epoch."""

    def kill(folder):
        faults = [("fit_batch", 8, "SIGKILL")]
        server.run(folder, code=-9, faults=faults)

    return shutil.copytree(once("killed", kill), tmp_path / "run")


def sleeps(process):
    """Whether a process was stopped."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.promise(LOCK)
@pytest.mark.parametrize("options", [[], *by_night(["--lr=0.5"])])
def test_two_runs_in_one_folder(server, whole, tmp_path, options):
    folder = tmp_path / "run"
    first = server.start_faulty(folder, faults=[("fit_batch", 6, "SIGSTOP")])
    try:
        while not sleeps(first.process):
            time.sleep(0.05)
        before = contents(folder)
        _, process, output = server.run(folder, *options, code=1)
        last = output.strip().splitlines()[-1]
        assert f"{folder} is in use by process {first.process} on " in last
        assert process != first.process and contents(folder) == before
    finally:
        os.kill(first.process, signal.SIGCONT)
        ended = first.end()
    assert ended.code == 0, ended.output[-3000:]
    assert equal(folder, whole)


def with_smaller_corpus(options, folder):
    """Options whose corpus is a copy without the last mixture for training."""
    if "CORPUS" not in options:
        return options.split()
    corpus = shutil.copytree(SAMPLES, folder / "corpus")
    (table,) = corpus.glob("train/*.csv")
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    return [options.replace("CORPUS", str(corpus))]


def trained_files(folder):
    """Checkpoints, settings and log."""
    return {
        name: digest
        for name, digest in contents(folder).items()
        if "CKPT" in name or "settings" in name or "train_log" in name
    }


@pytest.mark.promise(SETTINGS)
@pytest.mark.parametrize(
    "options, named",
    [
        ("--data_folder=CORPUS", ["train data (hash): "]),
        *by_night(
            (
                "--lr=0.02 --weight_decay=0",
                [
                    "lr: 0.01 before, 0.02 now",
                    "weight_decay: 0.0001 before, 0 now",
                ],
            ),
            (
                "--grad_accumulation_factor=2",
                ["grad_accumulation_factor: 3 before, 2 now"],
            ),
        ),
    ],
)
def test_changed_settings(server, whole, folder, tmp_path, options, named):
    before = trained_files(folder)
    options = with_smaller_corpus(options, tmp_path)
    output = server.run(folder, *options, code=1).output
    found = [line for line in output.splitlines() if line.startswith("- ")]
    assert len(found) == len(named)
    for line, name in zip(found, named):
        assert line.startswith(f"- {name}")
    assert "--resume_changed=True" in output
    assert trained_files(folder) == before
    assert not trace(folder, "batch")
    # As it was, it goes on.
    server.succeed(folder)
    assert equal(folder, whole)


@pytest.mark.promise(SETTINGS, control=True)
@pytest.mark.parametrize(
    "option, name",
    [
        ("--lr=0.02", "lr: 0.01 before, 0.02 now"),
        *by_night(
            ("--seed=1", "seed: 1234 before, 1 now"),
            ("--data_folder=CORPUS", "train data (hash): "),
        ),
    ],
)
def test_resume_changed(server, whole, folder, tmp_path, option, name):
    options = with_smaller_corpus(option, tmp_path)
    output = server.succeed(folder, *options, "--resume_changed=True")
    assert f"resumed with another setting: {name}" in output
    assert "Loading a checkpoint from" in output
    assert not equal(folder, whole)
    server.run(folder, code=1)  # the settings are the new ones


@pytest.mark.promise(SETTINGS)
def test_resume_with_another_model(server, whole, folder):
    options = ["--N=16", "--resume_changed=True"]
    output = server.run(folder, *options, code=1).output
    assert "size mismatch" in output
    # The settings are still those of the checkpoints.
    server.succeed(folder)
    assert equal(folder, whole)
