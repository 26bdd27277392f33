"""Which tests are collected, the promises that they show, and what they share."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from tqdm import tqdm

# tqdm's own lock is shared with forks: a fork that is killed would keep it.
tqdm.set_lock(threading.RLock())


@functools.cache
def lacking():
    """Fixture -> what it takes, of those that this machine cannot provide."""
    import torch

    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs"]
    may_mount = (
        shutil.which("unshare")
        and not subprocess.run(
            [*mount, tempfile.gettempdir()], capture_output=True
        ).returncode
    )
    lacks = {} if may_mount else {"disks": "mounting a disk"}
    return lacks if torch.cuda.is_available() else {**lacks, "gpu": "a GPU"}


def pytest_report_header():
    """Says what this machine lacks; tests of it are not collected."""
    return [f"not collected: what needs {x}" for x in lacking().values()]


def pytest_addoption(parser):
    """Adds the option that runs everything.

    Arguments
    ---------
    parser : pytest.Parser
        Of the command line.
    """
    parser.addoption(
        "--nightly",
        action="store_true",
        help="also run the tests marked nightly (make test-all does)",
    )


def pytest_collection_modifyitems(config, items):
    """Notes promises in reports; leaves out what cannot run, or only by night.

    Arguments
    ---------
    config : pytest.Config
        With the options.
    items : list of pytest.Item
        Changed in place.
    """
    for item in items:
        promises = {}
        for marker in item.iter_markers("promise"):
            control = marker.kwargs.get("control", False)
            promises.setdefault(marker.args[0], control)
        item.user_properties += [("promise", p) for p in promises.items()]
    by_night = config.getoption("--nightly")
    left_out = [
        item
        for item in items
        if lacking().keys() & set(getattr(item, "fixturenames", ()))
        or item.get_closest_marker("nightly")
        and not by_night
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def server():
    """Starts the recipe's commands quickly, see support/server.py."""
    from server import Server  # which spares other tests torch

    server = Server()
    yield server
    server.close()


@pytest.fixture
def disks(server):
    """Lets runs see disks of their own, see Server.disks."""
    return server.disks


@pytest.fixture
def gpu():
    """The name of a GPU, for what has to run on one."""
    return "cuda"


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Makes a folder once in a session, however many processes run tests.

    It is a function of a name and of one that makes the folder. Tests that change
    what is in it copy it before.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made_once(name, make):
        folder = root / "once" / name
        folder.parent.mkdir(exist_ok=True)
        done = Path(f"{folder}.done")
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made_once


@pytest.fixture(scope="session")
def trained(once):
    """The folder of a run for ES of the documented command, all metrics, as a
    process of its own; what it printed lies beside it."""
    from recipe import SAMPLES, SEPARATION
    from server import TINY, train_arguments

    def train(folder):
        words = train_arguments(folder, TINY, [], SAMPLES)
        with open(f"{folder}.out", "w", encoding="utf-8") as output:
            subprocess.run(
                [sys.executable, "train.py", *words],
                cwd=SEPARATION,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
            )

    return once("trained", train)


@pytest.fixture(scope="session")
def whole(server, once):
    """The folder of an undisturbed run of ``server.run``; its writes are traced."""

    def run(folder):
        server.succeed(folder, faults=[("write", 0, "")])

    return once("whole", run)
