"""Two torchrun commands, as on two machines, make one run."""

import socket

import pytest
from promises import MACHINES
from rank_runs import Run, both, make_odd_corpus, succeed
from run_folders import digest

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Seen by both machines, as are the folders of runs."""
    return make_odd_corpus(tmp_path_factory.mktemp("data") / "PolSESS")


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """An undisturbed run of two processes of one machine."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    succeed(folder, corpus)
    return folder


def run_twice(folder, corpus, faults=()):
    """Runs both commands; returns exit codes and outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = []
    for number in range(2):
        launch = [
            "--nnodes=2",
            f"--node_rank={number}",
            "--nproc_per_node=1",
            "--master_addr=127.0.0.1",
            f"--master_port={port}",
        ]
        runs.append(Run(folder, corpus, faults=faults, launch=launch))
    runs[0].process.wait(180)
    ended = [runs[1].end(), runs[0].end()][::-1]
    return [code for code, _ in ended], [output for _, output in ended]


@pytest.mark.promise(MACHINES)
def test_two_machines(whole, corpus, tmp_path):
    codes, outputs = run_twice(tmp_path / "run", corpus)
    assert codes == [0, 0], outputs
    assert digest(tmp_path / "run") == digest(whole)
    assert both(tmp_path / "run", "after") == both(whole, "after")


@pytest.mark.promise(MACHINES)
@pytest.mark.parametrize(
    "rank, number, action",
    [(1, 2, "torchrun:SIGTERM"), (0, 5, "SIGKILL"), (1, 5, "raise")],
)
def test_one_machine_ends(whole, corpus, tmp_path, rank, number, action):
    folder = tmp_path / "run"
    faults = [(rank, "fit_batch", number, action)]
    codes, outputs = run_twice(folder, corpus, faults)
    assert codes == [1, 1], outputs
    codes, outputs = run_twice(folder, corpus)
    assert codes == [0, 0], outputs
    assert digest(folder) == digest(whole)
