"""The complete matrix of faults of one process out of two."""

import pytest
from corpora import make_corpus, wav_path
from promises import RANK_ENDED, RANK_KILLED, RANK_SKIPPED, SETTINGS, SIGNALS
from rank_runs import (
    LIMIT_SECONDS,
    Run,
    both,
    make_odd_corpus,
    mixtures,
    succeed,
    trace,
    unions,
)
from run_folders import digest, newest

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Windows of 3 batches and of 1 in each process; an odd validation."""
    return make_odd_corpus(tmp_path_factory.mktemp("data") / "PolSESS")


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """An undisturbed run of two processes whose model has dropout."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    succeed(folder, corpus, random=True)
    return folder


def equal(folder, whole):
    """The same model, and the same scores of it."""
    scores = [(run / "test_scores.csv").read_bytes() for run in (folder, whole)]
    return digest(folder) == digest(whole) and scores[0] == scores[1]


@pytest.mark.promise(RANK_KILLED, control=True)
def test_another_seed_gives_another_model(whole, corpus, tmp_path):
    succeed(tmp_path / "run", corpus, "--seed=1", random=True)
    assert not equal(tmp_path / "run", whole)


@pytest.mark.promise(RANK_KILLED)
@pytest.mark.parametrize(
    "rank, place, number, workers",
    [
        (0, "fit_batch", 2, 0),  # within a window
        (1, "fit_batch", 4, 2),  # after the checkpoint of a window
        (1, "optimizers_step", 2, 0),  # of the last, shorter window
        (0, "write_checksums", 1, 0),
        (1, "delete_checkpoints", 2, 0),
        (0, "write_checksums", 3, 0),
        (1, "evaluate_batch", 1, 2),
        (0, "end_of_validation", 1, 0),
        (1, "end_of_validation", 2, 0),
        (0, "evaluate_batch", 5, 0),  # of the test
    ],
)
def test_after_a_kill_of_one_process(
    whole, corpus, tmp_path, rank, place, number, workers
):
    folder, option = tmp_path / "run", f"--num_workers={workers}"
    faults = [(rank, place, number, "SIGKILL")]
    run = Run(folder, corpus, option, faults=faults, random=True)
    code, output = run.end()
    assert code == 1 and "SIGKILL" in output, output[-3000:]
    assert not (folder / "test_scores.csv").exists()
    succeed(folder, corpus, option, random=True)
    assert equal(folder, whole)
    assert not list((folder / "save").glob("BROKEN*"))


@pytest.mark.promise(RANK_KILLED)
@pytest.mark.parametrize(
    "rank, place, number, action, workers",
    [
        (0, "fit_batch", 2, "SIGTERM", 0),
        (1, "fit_batch", 5, "SIGUSR1", 2),
        (0, "evaluate_batch", 1, "SIGTERM", 0),
        (1, "evaluate_batch", 1, "SIGINT", 0),
        (0, "evaluate_batch", 2, "SIGTERM", 0),  # the other has one alone
        (1, "end_of_validation", 1, "SIGTERM", 0),
        (0, "write_checksums", 1, "SIGTERM", 0),
        (0, "evaluate_batch", 1, "torchrun:SIGTERM", 2),
        (1, "fit_batch", 4, "torchrun:SIGINT", 2),
        (0, "fit_batch", 2, "torchrun:SIGUSR1", 0),
    ],
)
def test_a_signal_saves_and_ends(
    whole, corpus, tmp_path, rank, place, number, action, workers
):
    folder, option = tmp_path / "run", f"--num_workers={workers}"
    signals = "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1"
    launch = ["--standalone", "--nproc_per_node=2", signals]
    faults = [(rank, place, number, action)]
    run = Run(folder, corpus, option, faults=faults, launch=launch, random=True)
    code, output = run.end()
    assert code == 1 and "ends here" in output, output[-3000:]
    assert "Connection closed" not in output, output[-3000:]
    done = both(folder, "after")
    assert 0 < len(done) < 4 and digest(folder) == done[-1][0]
    succeed(folder, corpus, option, random=True)
    assert equal(folder, whole)
    for key in ("batch", "after"):
        assert both(folder, key) == both(whole, key)


@pytest.mark.promise(RANK_KILLED)
@pytest.mark.parametrize("name, code", [("SIGKILL", -9), ("SIGUSR1", -10)])
def test_torchrun_is_killed(whole, corpus, tmp_path, name, code):
    folder = tmp_path / "run"
    faults = [(0, "fit_batch", 2, f"torchrun:{name}")]
    ended, output = Run(folder, corpus, faults=faults, random=True).end()
    assert ended == code and "saved and ends here" in output
    succeed(folder, corpus, random=True)
    assert equal(folder, whole)


@pytest.mark.promise(SIGNALS)
def test_a_signal_ends_a_test(whole, corpus, tmp_path):
    folder = tmp_path / "run"
    faults = [(1, "evaluate_batch", 3, "torchrun:SIGTERM")]
    code, _ = Run(folder, corpus, faults=faults, random=True).end()
    assert code == 1 and not (folder / "test_scores.csv").exists()
    succeed(folder, corpus, random=True)
    assert equal(folder, whole)


@pytest.mark.promise(RANK_ENDED)
@pytest.mark.parametrize(
    "rank, place, number",
    [
        (0, "fit_batch", 2),
        (1, "optimizers_step", 2),
        (0, "write_checksums", 2),
        (1, "delete_checkpoints", 2),
        (0, "evaluate_batch", 1),
        (1, "evaluate_batch", 1),
        (0, "end_of_validation", 1),
        (1, "end_of_validation", 2),
        (0, "evaluate_batch", 4),  # of the test
    ],
)
def test_an_error_of_one_process_ends_all(
    corpus, tmp_path, rank, place, number
):
    folder, option = tmp_path / "run", f"--num_workers={2 * rank}"
    faults = [(rank, place, number, "raise")]
    code, output = Run(folder, corpus, option, faults=faults).end()
    assert code == 1 and "a fault of one process" in output


@pytest.mark.promise(RANK_ENDED)
def test_a_process_that_hangs_is_killed(corpus, tmp_path):
    places = [(0, "fit_batch", 5, "hang"), (1, "fit_batch", 5, "raise")]
    run = Run(tmp_path / "run", corpus, faults=places)
    run.wait_for_batches(4)
    code, output = run.end(LIMIT_SECONDS)
    assert code == 1 and "a fault of one process" in output
    assert "SIGKILL" in output


@pytest.mark.promise(RANK_ENDED)
def test_an_error_of_the_preparation_ends_all(tmp_path):
    root = tmp_path / "PolSESS"
    rows = make_corpus(root)
    wav_path(root, rows["train"][0], "mixFile").unlink()
    code, output = Run(tmp_path / "run", root).end(LIMIT_SECONDS)
    assert code == 1 and "CorpusError" in output


@pytest.mark.promise(RANK_SKIPPED)
@pytest.mark.parametrize(
    "rank, place, number, action, skipped",
    [
        (0, "optimizers_step", 1, "nan", 0),
        (1, "optimizers_step", 2, "inf", 1),
        (1, "compute_objectives", 4, "nan_loss", 1),
        (1, "compute_forward", 6, "inf_input", 2),  # 5: a validation
    ],
)
def test_what_is_not_finite_in_one_process(
    corpus, tmp_path, rank, place, number, action, skipped
):
    folder = tmp_path / "run"
    faults = [(rank, place, number, action)]
    output = succeed(folder, corpus, faults=faults)
    before, after = both(folder, "before"), both(folder, "after")
    assert all(a == b for a, b in after)
    same = [a == b for (a, _), (b, _) in zip(before, after)]
    assert same.index(True) == skipped and sum(same) == 1
    assert output.count("nothing changes") == 1


@pytest.mark.promise(RANK_ENDED)
@pytest.mark.parametrize(
    "place, action",
    [
        ("compute_objectives", "nan_loss"),
        ("optimizers_step", "nan"),
        ("end_of_validation", "nan_scores"),
    ],
)
def test_nothing_but_nan_in_one_process(corpus, tmp_path, place, action):
    folder = tmp_path / "run"
    options = ["--nonfinite_patience=1", "--number_of_epochs=3"]
    faults = [(1, place, 0, action)]
    code, output = Run(folder, corpus, *options, faults=faults).end()
    assert code == 1 and "(--nonfinite_patience)" in output, output[-3000:]
    assert "Connection closed" not in output
    assert newest(folder)


@pytest.mark.promise(SETTINGS)
def test_another_number_of_processes(whole, corpus, tmp_path):
    folder = tmp_path / "run"
    faults = [(0, "fit_batch", 3, "SIGTERM")]
    assert Run(folder, corpus, faults=faults).end()[0] == 1
    before = unions(folder)
    assert len(before) == 3
    options = [corpus, "--batch_size=2"]
    code, output = Run(folder, *options, launch=None).end()
    assert code == 1 and "processes: 2 before, 1 now" in output
    succeed(folder, *options, "--resume_changed=True", launch=None)
    after = [mixtures(b) for b in trace(folder, 0, "batch")[len(before) :]]
    assert before + after == unions(whole)
