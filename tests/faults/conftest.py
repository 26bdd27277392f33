"""What the tests of faults need of the machine, and runs of two processes."""

import subprocess
import tempfile
from functools import partial

import pytest
import torch
from corpora import make_corpus

MOUNT = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs"]


def may_mount():
    """Whether the system lets tests mount disks, for themselves alone."""
    try:
        command = [*MOUNT, tempfile.gettempdir()]
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


MAY_MOUNT = may_mount()


@pytest.fixture
def disks(server):
    """Lets runs see disks of their own, see Server.disks."""
    return server.disks


@pytest.fixture(scope="session")
def rank_corpus(once):
    """A corpus of which two processes do not validate the same part.

    Each has windows of 3 batches and of 1 to train on.
    """
    counts = {"train": (4, 4), "val": (2, 1), "test": (2, 1)}
    return once("PolSESS_ranks", lambda folder: make_corpus(folder, counts))


@pytest.fixture(scope="session")
def ranks(server, rank_corpus):
    """Runs train.py as two processes, or one: launch=None; see Server.run."""
    from server import TWO

    usual = {"data_folder": rank_corpus, "launch": TWO, "random": False}
    return partial(server.run, code=0, **usual)


@pytest.fixture(scope="session")
def two_ranks(ranks, once):
    """The folder of an undisturbed run of two processes."""
    return once("two_ranks", ranks)


def pytest_collection_modifyitems(config, items):
    """Leaves out tests of disks where none may be mounted."""
    left_out = [
        item
        for item in items
        if "disks" in getattr(item, "fixturenames", ()) and not MAY_MOUNT
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_report_collectionfinish():
    """Says what the machine lacks, and what is therefore not collected."""
    lacks = {
        "mounts a disk": not MAY_MOUNT,
        "trains in fp16 on a GPU": not torch.cuda.is_available(),
    }
    return [
        f"not collected, as it cannot run here: what {what}"
        for what, is_lacking in lacks.items()
        if is_lacking
    ]
