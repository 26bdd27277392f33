"""Promises that tests keep, the complete matrix of faults, and its server."""

import threading

import pytest
from tqdm import tqdm

# tqdm's own lock is shared with forks: a fork that is killed would keep it.
tqdm.set_lock(threading.RLock())


def pytest_addoption(parser):
    """Adds the option that runs the complete matrix.

    Arguments
    ---------
    parser : pytest.Parser
        Of the command line.
    """
    parser.addoption(
        "--matrix",
        action="store_true",
        help="also run the tests marked matrix (make faults does)",
    )


def pytest_collection_modifyitems(config, items):
    """Notes promises in reports; leaves the matrix out unless it is asked for.

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
    if config.getoption("--matrix"):
        return
    left_out = [item for item in items if item.get_closest_marker("matrix")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def server():
    """Starts runs quickly, see fault_runs.py."""
    from fault_runs import Server  # which spares other tests torch

    server = Server()
    yield server
    server.close()
