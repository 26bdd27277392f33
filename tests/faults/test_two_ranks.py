"""Two processes, of one machine or of two, compute what one does."""

import os
import shutil
import socket
import subprocess
import sys
from functools import partial

import pytest
from by_night import by_night
from corpora import read_csv
from promises import MACHINES, RANKS, SAME
from recipe import SEPARATION
from run_folders import (
    all_weights,
    both,
    digest,
    equal,
    mixtures,
    trace,
    unions,
)
from server import FAULTY, FAULTY_SIZES, TWO, train_arguments


@pytest.fixture(scope="module")
def other(ranks, once):
    """Another seed, and one gradient of one process is not that of the other."""
    faults = [(1, "optimizers_step", 1, "one")]
    return once("other", lambda f: ranks(f, "--seed=1", faults=faults))


@pytest.fixture(scope="module")
def trio(ranks, two_ranks, once):
    """Runs of two processes, of one, and of one with another seed."""
    alone = partial(ranks, launch=None)
    one = once("one", lambda folder: alone(folder, "--batch_size=2"))
    options = ["--batch_size=2", "--seed=1"]
    return two_ranks, one, once("seed", lambda f: alone(f, *options))


@pytest.mark.promise(RANKS)
@pytest.mark.promise(SAME)
def test_losses_and_weights_are_those_of_one_process(trio):
    two, one, _ = trio
    steps = both(two, "after")
    assert len(steps) == len(trace(one, "after", 0)) > 3
    assert all(a == b for a, b in steps) and steps[-1][0] == digest(two)
    assert unions(two) == [mixtures(b) for b in trace(one, "batch", 0)]
    losses = [sum(pair) / 2 for pair in both(two, "loss")]
    expected = trace(one, "loss", 0)
    assert losses == pytest.approx(expected, rel=1e-6, abs=1e-5)
    assert (all_weights(two) - all_weights(one)).abs().max() < 1e-5
    # Each mixture is taken once an epoch, each item validated.
    for epoch in (1, 2):
        taken = [names for number, names in unions(two) if number == epoch]
        assert len({name for name, _ in set().union(*taken)}) == 8
    expected = sorted(trace(one, "validated", 0)[0])
    assert len(expected) == 3
    for first, second in both(two, "validated"):
        assert first and second and sorted(first + second) == expected
    followed = both(two, "followed")
    assert len(followed) > 1
    assert all(a == b for a, b in followed)
    of_one = trace(one, "followed", 0)[-1]
    assert followed[-1][0] == pytest.approx(of_one, abs=1e-4)


@pytest.mark.promise(SAME, control=True)
def test_another_seed_gives_another_order_and_other_weights(trio):
    two, _, other = trio
    assert unions(two) != [mixtures(b) for b in trace(other, "batch", 0)]
    losses = [sum(pair) / 2 for pair in both(two, "loss")]
    assert losses != pytest.approx(trace(other, "loss", 0), rel=0.01)
    assert (all_weights(two) - all_weights(other)).abs().max() > 1e-2


@pytest.mark.promise(RANKS, control=True)
def test_a_gradient_of_one_process_makes_weights_differ(other):
    assert both(other, "before")[0][0] == both(other, "before")[0][1]
    assert all(a != b for a, b in both(other, "after"))


@pytest.mark.promise(SAME)
def test_the_first_process_alone_writes_and_all_test_the_best(
    two_ranks, other, ranks, tmp_path, name="test_scores.csv"
):
    ((first, second),) = both(two_ranks, "tested")
    assert first == second
    log = (two_ranks / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch: 1", "epoch: 2"]
    assert (two_ranks / "log.txt").read_text().count("Going into epoch") == 2
    states = [len(list(two_ranks.rglob(f"random.ckpt{n}"))) for n in ("", ".1")]
    assert states[0] == states[1] > 0
    folder = shutil.copytree(two_ranks, tmp_path / "run")
    (folder / name).unlink()
    ranks(folder, "--test_only", launch=None)
    scores = (two_ranks / name).read_bytes()
    assert (folder / name).read_bytes() == scores
    assert len(read_csv(two_ranks / name)) == 3
    # Negative control: another model.
    assert (other / name).read_bytes() != scores


def test_the_documented_torchrun(two_ranks, rank_corpus, tmp_path):
    folder = tmp_path / "run"
    options = ["--num_workers=0", "--distributed_backend=gloo"]
    words = train_arguments(
        folder, [*FAULTY_SIZES, *FAULTY], options, rank_corpus
    )
    torchrun = os.path.join(os.path.dirname(sys.executable), "torchrun")
    done = subprocess.run(
        [torchrun, *TWO, "train.py", *words],
        cwd=SEPARATION,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert equal(folder, two_ranks) and (folder / "report.html").exists()


def run_twice(start, folder, faults=()):
    """Runs two torchrun commands, as on two machines; exit codes and outputs."""
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
        here = [fault for fault in faults if fault[0] == number]
        runs.append(start(folder, faults=here, launch=launch))
    ended = [run.end() for run in runs]
    return [run.code for run in ended], [run.output for run in ended]


@pytest.mark.promise(MACHINES)
@pytest.mark.parametrize(
    "faults",
    [
        [],
        *by_night([(1, "fit_batch", 2, "torchrun:SIGTERM")]),
        *by_night([(0, "fit_batch", 5, "SIGKILL")]),
    ],
)
def test_two_machines(server, rank_corpus, two_ranks, tmp_path, faults):
    folder = tmp_path / "run"
    keywords = {"data_folder": rank_corpus, "random": False}
    start = partial(server.start_faulty, **keywords)
    if faults:
        codes, outputs = run_twice(start, folder, faults)
        assert codes == [1, 1], outputs
    codes, outputs = run_twice(start, folder)
    assert codes == [0, 0], outputs
    assert equal(folder, two_ranks)
    assert both(folder, "after")[-4:] == both(two_ranks, "after")[-4:]
