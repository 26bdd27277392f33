"""Runs of two ranks, undisturbed and with faults."""

from functools import partial

import pytest
from corpora import make_corpus
from server import TWO


@pytest.fixture(scope="session")
def rank_corpus(once):
    """Two processes have windows of 3 batches and of 1; one has more to validate."""
    counts = {"train": (4, 4), "val": (2, 1), "test": (2, 1)}
    return once("PolSESS_ranks", lambda folder: make_corpus(folder, counts))


@pytest.fixture(scope="session")
def ranks(server, rank_corpus):
    """Runs train.py as two processes, or one: launch=None; see Server.run."""
    usual = {"data_folder": rank_corpus, "launch": TWO, "random": False}
    return partial(server.run, code=0, **usual)


@pytest.fixture(scope="session")
def two_ranks(ranks, once):
    """The folder of an undisturbed run of two processes."""
    return once("two_ranks", ranks)
