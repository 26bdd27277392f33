"""What the tests of faults need of the machine, and runs of two processes."""

import shutil
import subprocess
import tempfile
from functools import partial

import pytest
import torch
from corpora import make_corpus
from server import TWO

MOUNT = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs"]
MOUNT += [tempfile.gettempdir()]
# Whether the system lets tests mount disks, for themselves alone.
MAY_MOUNT = bool(
    shutil.which("unshare")
    and subprocess.run(MOUNT, capture_output=True).returncode == 0
)


@pytest.fixture
def disks(server):
    return server.disks


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


def pytest_collection_modifyitems(config, items):
    if MAY_MOUNT:
        return
    left_out = [i for i in items if "disks" in getattr(i, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_report_collectionfinish():
    """Says what the machine lacks, and what is therefore not collected."""
    lacks = {
        "mounts a disk": not MAY_MOUNT,
        "trains in fp16 on a GPU": not torch.cuda.is_available(),
    }
    said = "not collected, as it cannot run here: what"
    return [
        f"{said} {what}" for what, is_lacking in lacks.items() if is_lacking
    ]
