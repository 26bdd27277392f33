"""Runs of train.py as several processes, and what they leave.

Authors
 * The PolSESS recipe team 2026
"""

import time

import torch
from corpora import make_corpus
from run_folders import PARTS, newest, trace
from server import TWO, kill

LIMIT_SECONDS = 60  # in which an error of one process ends all


def make_odd_corpus(root):
    """Makes a corpus of which two processes do not validate the same part.

    Each has windows of 3 batches and of 1 to train on.
    """
    make_corpus(root, {"train": (4, 4), "val": (2, 1), "test": (2, 1)})
    return root


class Ranks:
    """Starts runs of two processes on one corpus."""

    def __init__(self, server, corpus):
        self.server, self.corpus = server, corpus

    def start(self, folder, *options, launch=TWO, random=False, **asked):
        """Starts torchrun, or one process without it if launch is None."""
        return self.server.start_faulty(
            folder,
            *options,
            data_folder=self.corpus,
            launch=launch,
            random=random,
            limit_seconds=180,
            **asked,
        )

    def end(self, run, limit_seconds=180):
        """Waits for a run; what it started has to end too, or it is an error."""
        began = time.monotonic()
        ended = run.end()
        left = run.left(LIMIT_SECONDS)
        kill(run.process)
        assert not left, ended.output[-3000:]
        assert time.monotonic() - began < limit_seconds
        return ended

    def run(self, folder, *options, **asked):
        """Runs to the end."""
        return self.end(self.start(folder, *options, **asked))

    def succeed(self, folder, *options, **asked):
        """Does so, successfully; returns what it printed."""
        ended = self.run(folder, *options, **asked)
        assert ended.code == 0, ended.output[-3000:]
        return ended.output


def wait_for_batches(folder, number):
    """Waits until both processes have trained on some."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if all(len(trace(folder, "batch", r)) == number for r in (0, 1)):
            return
        time.sleep(0.05)


def both(folder, key):
    """Reads the traces of two ranks, in pairs."""
    pair = [trace(folder, key, rank) for rank in (0, 1)]
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
