"""Two processes train as one does; where one fails, all end."""

import shutil

import pytest
import torch
from corpora import read_csv
from promises import LOCK, RANK_ENDED, RANK_KILLED, RANK_SKIPPED, RANKS, SAME
from rank_runs import (
    LIMIT_SECONDS,
    Run,
    both,
    make_odd_corpus,
    mixtures,
    succeed,
    trace,
    unions,
    weights,
)
from run_folders import digest, newest
from runs.folder import lock_folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Eight mixtures to train on, three to validate."""
    return make_odd_corpus(tmp_path_factory.mktemp("data") / "PolSESS")


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """An undisturbed run of two processes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    succeed(folder, corpus)
    assert len(trace(folder, 0, "batch")) == 8
    assert len(set(trace(folder, 0, "after"))) == 4
    return folder


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """One process with batches of two."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    succeed(folder, corpus, "--batch_size=2", launch=None)
    return folder


@pytest.fixture(scope="module")
def control(corpus, tmp_path_factory):
    """Another seed, and one gradient of one process is not that of the other."""
    folder = tmp_path_factory.mktemp("control") / "run"
    faults = [(1, "optimizers_step", 1, "one")]
    succeed(folder, corpus, "--seed=1", faults=faults)
    return folder


def losses(folder):
    """The mean loss of each pair of batches."""
    return [sum(pair) / 2 for pair in both(folder, "loss")]


@pytest.mark.promise(RANKS)
def test_weights_are_equal_after_every_step(whole):
    steps = both(whole, "after")
    assert len(steps) == 4 and all(a == b for a, b in steps)
    assert steps[-1][0] == digest(whole)


@pytest.mark.promise(RANKS, control=True)
def test_a_gradient_of_one_process_makes_weights_differ(control):
    assert both(control, "before")[0][0] == both(control, "before")[0][1]
    assert all(a != b for a, b in both(control, "after"))


@pytest.mark.promise(SAME)
def test_mixtures_variants_and_order_are_those_of_one_process(whole, alone):
    assert unions(whole) == [mixtures(b) for b in trace(alone, 0, "batch")]
    for epoch in (1, 2):
        taken = [names for number, names in unions(whole) if number == epoch]
        assert len({name for name, _ in set().union(*taken)}) == 8


@pytest.mark.promise(SAME, control=True)
def test_another_seed_gives_another_order(control, alone):
    assert unions(control) != [mixtures(b) for b in trace(alone, 0, "batch")]


@pytest.mark.promise(SAME)
def test_losses_and_weights_are_those_of_one_process(whole, alone):
    assert losses(whole) == pytest.approx(
        trace(alone, 0, "loss"), rel=1e-6, abs=1e-5
    )
    assert torch.allclose(weights(whole), weights(alone), rtol=0, atol=1e-5)


@pytest.mark.promise(SAME, control=True)
def test_another_seed_gives_other_weights(control, alone):
    assert losses(control) != pytest.approx(trace(alone, 0, "loss"), rel=0.01)
    assert not torch.allclose(
        weights(control), weights(alone), rtol=0, atol=1e-3
    )


@pytest.mark.promise(SAME)
def test_each_item_is_validated_once(whole, alone):
    expected = sorted(trace(alone, 0, "validated")[0])
    assert len(expected) == 3
    for first, second in both(whole, "validated"):
        assert first and second and sorted(first + second) == expected
    followed = both(whole, "followed")
    assert len(followed) == 2 and all(a == b for a, b in followed)
    of_one = trace(alone, 0, "followed")[-1]
    assert followed[-1][0] == pytest.approx(of_one, abs=1e-4)


@pytest.mark.promise(SAME)
def test_all_processes_test_the_best_model(whole):
    ((first, second),) = both(whole, "tested")
    assert first == second


@pytest.mark.promise(SAME)
def test_scores_are_those_of_one_process(
    whole, corpus, control, tmp_path, name="test_scores.csv"
):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / name).unlink()
    succeed(folder, corpus, "--test_only", launch=None)
    assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert len(read_csv(whole / name)) == 3
    # Negative control: another model.
    assert (control / name).read_bytes() != (whole / name).read_bytes()


@pytest.mark.promise(SAME)
def test_the_first_process_alone_writes(whole):
    log = (whole / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch: 1", "epoch: 2"]
    assert (whole / "log.txt").read_text().count("Going into epoch") == 2
    assert len(list(whole.rglob("*random.ckpt.1"))) == len(
        list(whole.rglob("random.ckpt"))
    )


@pytest.mark.promise(RANK_KILLED)
def test_sigterm_to_torchrun_saves_and_resumes(whole, corpus, tmp_path):
    folder = tmp_path / "run"
    faults = [(1, "fit_batch", 2, "torchrun:SIGTERM")]
    code, output = Run(folder, corpus, faults=faults).end()
    assert code == 1 and "saved and ends here" in output, output[-3000:]
    assert not (folder / "test_scores.csv").exists()
    done = both(folder, "after")
    assert done == both(whole, "after")[: len(done)] and len(done) < 4
    assert digest(folder) == done[-1][0]
    succeed(folder, corpus)
    # Without a gap, and nothing twice.
    for key in ("batch", "after"):
        assert both(folder, key) == both(whole, key)
    assert digest(folder) == digest(whole)


@pytest.mark.promise(RANK_SKIPPED)
def test_a_loss_that_is_not_finite_in_one_process(whole, corpus, tmp_path):
    folder = tmp_path / "run"
    faults = [(1, "compute_objectives", 2, "nan_loss")]
    # One item to validate and to test: the second process has none.
    one = ["--n_valid=1", "--n_test=1"]
    output = succeed(folder, corpus, *one, faults=faults)
    before, after = both(folder, "before"), both(folder, "after")
    assert all(a == b for a, b in after)
    same = [a == b for (a, _), (b, _) in zip(before, after)]
    assert same == [True, False, False, False]
    (line,) = [
        line for line in output.splitlines() if "nothing changes" in line
    ]
    window = set().union(*(names for _, names in unions(whole)[:3]))
    named = line.partition("mixtures: ")[2].split(", ")
    assert sorted(named) == sorted(name for name, _ in window)
    assert all(len(first) == 1 for first in trace(folder, 0, "validated"))
    assert trace(folder, 1, "validated") == [[], []]


@pytest.mark.promise(RANK_ENDED)
def test_an_error_of_one_process_ends_all(corpus, tmp_path):
    folder = tmp_path / "run"
    run = Run(folder, corpus, faults=[(1, "fit_batch", 5, "raise")])
    run.wait_for_batches(4)
    code, output = run.end(LIMIT_SECONDS)
    assert code == 1 and "a fault of one process" in output
    assert newest(folder)


@pytest.mark.promise(LOCK)
@pytest.mark.promise(RANK_ENDED)
def test_a_folder_in_use_ends_all(corpus, tmp_path):
    folder = tmp_path / "run"
    lock_folder(str(folder))
    code, output = Run(folder, corpus).end(LIMIT_SECONDS)
    assert code == 1 and f"{folder} is in use by process" in output
    assert "Connection closed" not in output
    assert [path.name for path in folder.iterdir()] == [".lock"]
