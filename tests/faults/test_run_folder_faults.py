"""The folder of a run belongs to one process, and to one training."""

import contextlib
import hashlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from promises import LOCK, SETTINGS
from recipe import SAMPLES
from server import Server, newest
from test_faults import equal


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    server.succeed(folder)
    return folder


@pytest.fixture(scope="module")
def killed(server, tmp_path_factory):
    """A run that was killed in its second epoch."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    faults = [("fit_batch", 8, "SIGKILL")]
    assert server.run(folder, faults=faults)[0] == -9
    return folder


@pytest.fixture
def folder(killed, tmp_path):
    """A copy of it."""
    return shutil.copytree(killed, tmp_path / "run")


def contents(folder):
    """Name -> hash of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def stopped(server, tmp_path):
    """A run that sleeps in its second epoch, and the thread that waits."""
    folder = tmp_path / "run"
    faults = [("fit_batch", 6, "SIGSTOP")]
    ends = []
    thread = threading.Thread(
        target=lambda: ends.append(server.run(folder, faults=faults))
    )
    thread.start()
    while not (holder := stopped_process(folder)):
        assert thread.is_alive()
        time.sleep(0.1)
    yield folder, holder, ends
    with contextlib.suppress(ProcessLookupError):
        os.kill(holder, signal.SIGCONT)
    thread.join()


def stopped_process(folder):
    """The number of the process that its lock names, once it sleeps."""
    try:
        process = int((folder / ".lock").read_text().split()[1])
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return process if state == "T" else None


@pytest.mark.promise(LOCK)
@pytest.mark.parametrize(
    "options", [(), pytest.param(("--lr=0.5",), marks=pytest.mark.nightly)]
)
def test_two_runs_in_one_folder(whole, stopped, options):
    folder, holder, ends = stopped
    before = contents(folder)
    second = Server()
    code, process, output = second.run(folder, *options)
    second.close()
    assert code == 1
    last = output.strip().splitlines()[-1]
    assert f"{folder} is in use by process {holder} on " in last
    assert process != holder and contents(folder) == before
    os.kill(holder, signal.SIGCONT)
    while not ends:
        time.sleep(0.1)
    assert ends[0][0] == 0, ends[0][2][-3000:]
    assert equal(folder, whole)


def smaller_corpus(folder):
    """A copy of the corpus whose last mixture for training is left out."""
    corpus = shutil.copytree(SAMPLES, folder / "corpus")
    (table,) = corpus.glob("train/*.csv")
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    return corpus


CHANGES = {
    "--lr=0.02": ["lr: 0.01 before, 0.02 now"],
    "--seed=1": ["seed: 1234 before, 1 now"],
    "--batch_size=2": ["batch_size: 1 before, 2 now"],
    "--N=16": ["N: 8 before, 16 now"],
    "--max_grad_norm=1": ["max_grad_norm: 5.0 before, 1.0 now"],
    "--grad_accumulation_factor=2": [
        "grad_accumulation_factor: 3 before, 2 now"
    ],
    "--data_folder=CORPUS": ["train data (hash): "],
    "--lr=0.02 --weight_decay=0": ["lr: ", "weight_decay: "],
}
SAMPLE = ("--data_folder=CORPUS", "--lr=0.02 --weight_decay=0")


@pytest.mark.promise(SETTINGS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(o, marks=[] if o in SAMPLE else pytest.mark.nightly)
        for o in CHANGES
    ],
)
def test_changed_settings(server, whole, folder, tmp_path, options):
    options = options.split()
    named = CHANGES[" ".join(options)]
    if "CORPUS" in options[-1]:
        options = [f"--data_folder={smaller_corpus(tmp_path)}"]
    before = trained_files(folder)
    code, _, output = server.run(folder, *options)
    assert code == 1, output[-3000:]
    found = [line for line in output.splitlines() if line.startswith("- ")]
    assert len(found) == len(named)
    for line, name in zip(found, named):
        assert line.startswith(f"- {name}")
    assert "--resume_changed=True" in output
    assert trained_files(folder) == before
    assert not Path(f"{folder}.trace").exists()  # not a single batch
    # As it was, it goes on.
    server.succeed(folder)
    assert equal(folder, whole)


def trained_files(folder):
    """Checkpoints, settings and log."""
    return {
        name: digest
        for name, digest in contents(folder).items()
        if "CKPT" in name or "settings" in name or "train_log" in name
    }


GO_ON = ["--lr=0.02", "--seed=1", "--data_folder=CORPUS"]


@pytest.mark.promise(SETTINGS, control=True)
@pytest.mark.parametrize(
    "option",
    [
        GO_ON[0],
        *(pytest.param(o, marks=pytest.mark.nightly) for o in GO_ON[1:]),
    ],
)
def test_resume_changed(server, whole, folder, tmp_path, option):
    name = CHANGES[option][0]
    if "CORPUS" in option:
        option = f"--data_folder={smaller_corpus(tmp_path)}"
    output = server.succeed(folder, option, "--resume_changed=True")
    assert f"resumed with another setting: {name}" in output
    assert "Loading a checkpoint from" in output
    assert not equal(folder, whole)
    assert server.run(folder)[0] == 1  # the settings are the new ones


@pytest.mark.promise(SETTINGS)
@pytest.mark.nightly
def test_resume_with_another_model(server, whole, folder):
    code, _, output = server.run(folder, "--N=16", "--resume_changed=True")
    assert code == 1 and "size mismatch" in output
    assert newest(folder)
