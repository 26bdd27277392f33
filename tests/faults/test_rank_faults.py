"""Where one process fails, or gets a signal, all end; none differs."""

from functools import partial

import pytest
from by_night import by_night
from promises import LOCK, RANK_ENDED, RANK_KILLED, RANK_SKIPPED, SETTINGS
from run_folders import both, digest, equal, mixtures, newest, trace, unions
from runs.folder import lock_folder
from server import TWO

nightly = pytest.mark.nightly
# torchrun passes on what it is told to.
LISTENING = [*TWO, "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1"]


@pytest.fixture(scope="module")
def dropout(ranks):
    return partial(ranks, random=True)


@pytest.fixture(scope="module")
def whole(dropout, once):
    return once("two_ranks_with_dropout", dropout)


@nightly
@pytest.mark.promise(RANK_KILLED, control=True)
def test_another_seed_gives_another_model(whole, dropout, tmp_path):
    dropout(tmp_path / "run", "--seed=1")
    assert not equal(tmp_path / "run", whole)


@pytest.mark.promise(RANK_KILLED)
@pytest.mark.parametrize(
    "rank, place, number, workers, action",
    [
        (1, "fit_batch", 4, 0, "SIGKILL"),  # after the checkpoint of a window
        *by_night(
            (0, "write_checksums", 1, 0, "SIGKILL"),
            (1, "delete_checkpoints", 2, 2, "SIGKILL"),
            (1, "evaluate_batch", 1, 0, "SIGKILL"),
            (0, "evaluate_batch", 5, 0, "SIGKILL"),  # of the test
            (1, "evaluate_batch", 3, 0, "torchrun:SIGTERM"),  # of the test
        ),
    ],
)
def test_after_a_kill_of_one_process(
    whole, dropout, tmp_path, rank, place, number, workers, action
):
    folder = tmp_path / "run"
    faults = [(rank, place, number, action)]
    dropout(folder, code=1, faults=faults, workers=workers)
    assert not (folder / "test_scores.csv").exists()
    dropout(folder, workers=workers)
    assert equal(folder, whole)
    assert not list((folder / "save").glob("BROKEN*"))


@pytest.mark.promise(RANK_KILLED)
@pytest.mark.parametrize(
    "rank, place, number, action, workers",
    [
        (0, "evaluate_batch", 2, "SIGTERM", 0),  # the other has one alone
        (1, "fit_batch", 2, "torchrun:SIGUSR1", 0),
        *by_night(
            (1, "end_of_validation", 1, "SIGINT", 0),
            (0, "write_checksums", 1, "SIGTERM", 0),
            (0, "evaluate_batch", 1, "torchrun:SIGTERM", 2),
            (0, "fit_batch", 4, "torchrun:SIGINT", 2),
        ),
    ],
)
def test_a_signal_saves_and_ends(
    whole, dropout, tmp_path, rank, place, number, action, workers
):
    folder = tmp_path / "run"
    faults = [(rank, place, number, action)]
    keywords = {"launch": LISTENING, "workers": workers}
    output = dropout(folder, code=1, faults=faults, **keywords).output
    assert "ends here" in output, output[-3000:]
    assert "Connection closed" not in output, output[-3000:]
    done = both(folder, "after")
    assert 0 < len(done) < 4 and digest(folder) == done[-1][0]
    dropout(folder, workers=workers)
    assert equal(folder, whole)
    # Without a gap, and nothing twice.
    for key in ("batch", "after"):
        assert both(folder, key) == both(whole, key)


@pytest.mark.promise(RANK_KILLED)
def test_torchrun_is_killed(whole, dropout, tmp_path):
    folder = tmp_path / "run"
    faults = [(0, "fit_batch", 2, "torchrun:SIGKILL")]
    assert "saved and ends" in dropout(folder, code=-9, faults=faults).output
    dropout(folder)
    assert equal(folder, whole)


@pytest.mark.promise(RANK_ENDED)
@pytest.mark.parametrize(
    "rank, place, number",
    [
        (1, "fit_batch", 5),
        *by_night((0, "write_checksums", 2), (1, "delete_checkpoints", 2)),
        *by_night((1, "end_of_validation", 2), (0, "evaluate_batch", 4)),
    ],
)
def test_an_error_of_one_process_ends_all(ranks, tmp_path, rank, place, number):
    folder = tmp_path / "run"
    faults = [(rank, place, number, "raise")]
    output = ranks(folder, code=1, faults=faults, workers=2 * rank).output
    assert "a fault of one process" in output
    assert newest(folder)


@pytest.mark.promise(LOCK)
@pytest.mark.promise(RANK_ENDED)
def test_a_folder_in_use_ends_all(ranks, tmp_path):
    folder = tmp_path / "run"
    lock_folder(str(folder))
    output = ranks(folder, code=1).output
    assert f"{folder} is in use by process" in output
    assert "Connection closed" not in output
    assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.promise(RANK_SKIPPED)
@pytest.mark.parametrize(
    "rank, place, number, action, skipped",
    [
        # Its gradients are finite, so that the others do not see it.
        (1, "compute_objectives", 2, "inf_loss", 0),
        *by_night(
            (0, "optimizers_step", 1, "nan", 0),
            (1, "compute_objectives", 4, "nan_loss", 1),
        ),
    ],
)
def test_what_is_not_finite_in_one_process_is_skipped_by_all(
    ranks, tmp_path, rank, place, number, action, skipped
):
    folder = tmp_path / "run"
    # One item to validate and to test: the second process has none.
    options = ["--n_valid=1", "--n_test=1"]
    faults = [(rank, place, number, action)]
    output = ranks(folder, *options, faults=faults).output
    before, after = both(folder, "before"), both(folder, "after")
    assert all(a == b for a, b in after)
    changed = [a != b for (a, _), (b, _) in zip(before, after)]
    assert changed == [step != skipped for step in range(4)]
    (line,) = [x for x in output.splitlines() if "nothing changes" in x]
    start, stop = [(0, 3), (3, 4)][skipped]
    window = set().union(*(names for _, names in unions(folder)[start:stop]))
    named = line.partition("mixtures: ")[2].split(", ")
    assert sorted(named) == sorted(name for name, _ in window)
    assert all(len(items) == 1 for items in trace(folder, "validated", 0))
    assert trace(folder, "validated", 1) == [[], []]


@nightly
@pytest.mark.promise(RANK_ENDED)
@pytest.mark.parametrize(
    "place, action",
    [("optimizers_step", "nan"), ("end_of_validation", "nan_scores")],
)
def test_nothing_but_nan_in_one_process(ranks, tmp_path, place, action):
    folder = tmp_path / "run"
    options = ["--nonfinite_patience=1", "--number_of_epochs=3"]
    faults = [(1, place, 0, action)]
    output = ranks(folder, *options, code=1, faults=faults).output
    assert "(--nonfinite_patience)" in output, output[-3000:]
    assert "Connection closed" not in output
    assert newest(folder)


@nightly
@pytest.mark.promise(SETTINGS)
def test_another_number_of_processes(two_ranks, ranks, tmp_path):
    folder = tmp_path / "run"
    ranks(folder, code=1, faults=[(0, "fit_batch", 3, "SIGTERM")])
    before = unions(folder)
    assert len(before) == 3
    alone = partial(ranks, folder, "--batch_size=2", launch=None)
    assert "processes: 2 before, 1 now" in alone(code=1).output
    alone("--resume_changed=True")
    after = [mixtures(b) for b in trace(folder, "batch", 0)[len(before) :]]
    assert before + after == unions(two_ranks)
