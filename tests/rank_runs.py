"""Runs of train.py as several processes, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from fault_runs import OPTIONS, PARTS, newest
from recipe import ROOT, SEPARATION
from tiny_corpus import make_corpus

FAULTS = ROOT / "tests/rank_faults.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TWO = ["--standalone", "--nproc_per_node=2"]
LIMIT_SECONDS = 60  # in which an error of one process ends all


def make_odd_corpus(root):
    """Makes a corpus of which two processes do not validate the same part.

    Each has windows of 3 batches and of 1 to train on.
    """
    make_corpus(root, {"train": (4, 4), "val": (2, 1), "test": (2, 1)})
    return root


class Run:
    """A run that has begun, in a session of its own.

    Arguments
    ---------
    folder : Path
        Output folder; its traces and its output lie next to it.
    corpus : Path
        The data.
    *options : str
        Of train.py; they replace the usual ones. ``--name=usual`` leaves one
        to the YAML.
    faults : list of tuple
        rank, place, number, action; see faults.py.
    launch : list of str
        Options of torchrun; None for a single process without it.
    random : bool
        Whether the model draws random numbers.
    """

    def __init__(
        self, folder, corpus, *options, faults=(), launch=TWO, random=False
    ):
        self.folder = folder
        asked = {"faults": faults, "trace": f"{folder}.trace", "random": random}
        start = [sys.executable] if launch is None else [*TORCHRUN, *launch]
        given = {option.partition("=")[0] for option in options}
        usual = [*OPTIONS, "--num_workers=0", "--distributed_backend=gloo"]
        usual = [o for o in usual if o.partition("=")[0] not in given]
        arguments = [f"--data_folder={corpus}", f"--output_folder={folder}"]
        paths = [SEPARATION, SEPARATION.parent, ROOT / "tests"]
        self.output = Path(f"{folder}.{time.monotonic_ns()}.out")
        with open(self.output, "w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [
                    *start,
                    str(FAULTS),
                    json.dumps(asked),
                    *usual,
                    *arguments,
                    *(o for o in options if not o.endswith("=usual")),
                ],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(map(str, paths)),
                    "OMP_NUM_THREADS": "1",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, limit_seconds=180):
        """Waits for its end; returns exit code and output.

        What it started has to end too, or is killed, and it is an error.
        """
        try:
            code = self.process.wait(limit_seconds)
            wait_for(lambda: not self.processes(), LIMIT_SECONDS)
        finally:
            left = self.processes()
            for process in left:
                os.kill(process, signal.SIGKILL)
        assert not left, self.output.read_text()[-3000:]
        return code, self.output.read_text()

    def wait_for_batches(self, number):
        """Waits until both processes have trained on some."""
        paths = [Path(f"{self.folder}.trace.{rank}") for rank in (0, 1)]
        wait_for(
            lambda: all(
                path.exists() and path.read_text().count('"batch"') == number
                for path in paths
            ),
            limit_seconds=120,
        )

    def processes(self):
        """The numbers of its processes: their commands name its folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended
            if f"--output_folder={self.folder}".encode() in command:
                found.append(int(path.parent.name))
        return found


def wait_for(condition, limit_seconds):
    """Waits until something is so, or for some time."""
    until = time.monotonic() + limit_seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


def succeed(*arguments, **keywords):
    """Makes a run, which must succeed; returns what it prints."""
    code, output = Run(*arguments, **keywords).end()
    assert code == 0, output[-3000:]
    return output


def trace(folder, rank, key):
    """Reads the trace of one rank: batches, steps or validations."""
    lines = Path(f"{folder}.trace.{rank}").read_text().splitlines()
    return [json.loads(line)[key] for line in lines if key in json.loads(line)]


def both(folder, key):
    """Reads the traces of two ranks, in pairs."""
    pair = [trace(folder, rank, key) for rank in (0, 1)]
    return list(zip(*pair, strict=True))


def mixtures(batch):
    """Epoch, and the mixtures with their variants, of a line of batches."""
    epoch, _, *names = batch
    half = len(names) // 2
    return epoch, set(zip(names[:half], names[half:]))


def unions(folder):
    """The mixtures of the batches of two processes together."""
    found = []
    for pair in both(folder, "batch"):
        (epoch, first), (other, second) = map(mixtures, pair)
        assert epoch == other and not first & second
        found.append((epoch, first | second))
    return found


def weights(folder):
    """All weights of the newest checkpoint, in one tensor."""
    path = newest(folder)
    states = [torch.load(path / f"{part}.ckpt") for part in PARTS]
    return torch.cat([t.flatten() for s in states for t in s.values()])
