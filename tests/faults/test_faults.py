"""Whatever ends a training, the same command ends it with the same model."""

import pytest
from promises import MODEL, SIGNALS, SKIPPED, STOPPED
from run_folders import digest, equal, newest, trace
from server import left_after


@pytest.mark.promise(MODEL, control=True)
def test_another_seed_gives_another_model(server, whole, tmp_path):
    server.succeed(tmp_path / "run", "--seed=1")
    assert not equal(tmp_path / "run", whole)  # negative control


@pytest.mark.promise(MODEL)
@pytest.mark.parametrize(
    "place, number, workers",
    [
        ("fit_batch", 1, 0),
        ("fit_batch", 2, 2),  # within a window
        ("optimizers_step", 1, 0),
        ("write_checksums", 1, 0),
        ("fit_batch", 4, 2),  # after the checkpoint of a window
        ("optimizers_step", 2, 0),  # of the last, shorter window
        ("write_checksums", 2, 0),
        ("write_checksums", 3, 0),
        ("evaluate_batch", 3, 2),
        ("end_of_validation", 1, 0),
        ("write_checksums", 4, 0),
        ("delete_checkpoints", 4, 0),
        ("start_of_training", 2, 2),  # between epochs
        ("fit_batch", 8, 0),
        ("evaluate_batch", 11, 0),  # of the test
    ],
)
def test_a_killed_run_ends_with_the_undisturbed_model(
    server, whole, tmp_path, place, number, workers
):
    folder = tmp_path / "run"
    faults = [(place, number, "SIGKILL")]
    code, _, output = server.run(folder, faults=faults, workers=workers)
    assert code == -9, output[-3000:]
    assert not (folder / "test_scores.csv").exists()
    # At once: workers of the killed process still live.
    server.succeed(folder, workers=workers)
    assert equal(folder, whole)
    assert len(list((folder / "save").glob("*CKPT*"))) <= 4
    assert not list((folder / "save").glob("BROKEN*"))


@pytest.mark.promise(MODEL)
def test_a_run_killed_again_and_again(server, whole, tmp_path):
    folder = tmp_path / "run"
    for place, number in [
        ("fsync_path", 3),
        ("fit_batch", 4),
        ("write_checksums", 2),
    ]:
        faults = [(place, number, "SIGKILL")]
        assert server.run(folder, faults=faults)[0] == -9
    server.succeed(folder)
    assert equal(folder, whole)


CODES = {"SIGTERM": 143, "SIGUSR1": 138, "SIGINT": 130}


@pytest.mark.promise(SIGNALS)
@pytest.mark.parametrize(
    "action, place, number, workers, batches",
    [
        ("SIGTERM", "fit_batch", 2, 0, 3),
        ("group:SIGTERM", "fit_batch", 2, 2, 3),
        ("SIGUSR1", "fit_batch", 4, 0, 4),
        ("group:SIGUSR1", "evaluate_batch", 2, 2, 4),
        ("SIGINT", "evaluate_batch", 2, 0, 4),
        ("group:SIGINT", "fit_batch", 5, 2, 7),
        ("SIGTERM", "write_checksums", 1, 0, 3),
    ],
)
def test_a_signal_saves_and_ends(
    server, whole, tmp_path, action, place, number, workers, batches
):
    folder = tmp_path / "run"
    faults = [(place, number, action)]
    code, process, output = server.run(folder, faults=faults, workers=workers)
    assert code == CODES[action.rpartition(":")[2]], output[-3000:]
    assert not left_after(process)
    undisturbed = trace(whole, "batch")
    assert trace(folder, "batch") == undisturbed[:batches]
    assert digest(folder) == trace(folder, "after")[-1]
    server.succeed(folder, workers=workers)
    assert equal(folder, whole)
    # Without a gap, and nothing twice.
    assert trace(folder, "batch") == undisturbed


@pytest.mark.promise(SIGNALS)
def test_a_second_ctrl_c_does_not_wait(server, whole, tmp_path):
    folder = tmp_path / "run"
    faults = [("fit_batch", 5, "twice:SIGINT")]
    code, process, _ = server.run(folder, faults=faults, workers=2)
    assert code == 130 and not left_after(process)
    assert trace(folder, "batch") == trace(whole, "batch")[:4]
    server.succeed(folder)
    assert equal(folder, whole)


@pytest.mark.promise(SIGNALS)
def test_workers_of_a_killed_run_end_by_themselves(server, tmp_path):
    faults = [("fit_batch", 2, "SIGKILL")]
    _, process, _ = server.run(tmp_path / "run", faults=faults, workers=2)
    assert not left_after(process, seconds=30)


@pytest.mark.promise(SKIPPED)
@pytest.mark.parametrize(
    "place, number, action",
    [
        ("optimizers_step", 1, "nan"),
        ("optimizers_step", 2, "inf"),
        ("compute_objectives", 2, "nan_loss"),
    ],
)
def test_a_step_that_is_not_finite_changes_nothing(
    server, whole, tmp_path, place, number, action
):
    folder = tmp_path / "run"
    output = server.succeed(folder, faults=[(place, number, action)])
    before, after = trace(folder, "before"), trace(folder, "after")
    skipped = 1 if (place, number) == ("optimizers_step", 2) else 0
    assert [a == b for a, b in zip(before, after)] == [
        number == skipped for number in range(4)
    ]
    batches = trace(folder, "batch")
    assert batches == trace(whole, "batch")
    ids = [batch[2] for batch in ([batches[:3], batches[3:4]][skipped])]
    named = [line for line in output.splitlines() if "not finite" in line]
    assert len(named) == 1 and named[0].endswith(", ".join(ids))
    assert not equal(folder, whole)


@pytest.mark.promise(STOPPED)
@pytest.mark.parametrize(
    "place, action",
    [("optimizers_step", "nan"), ("compute_objectives", "nan_loss")],
)
def test_nothing_but_nan_stops_with_the_last_checkpoint_intact(
    server, whole, tmp_path, place, action
):
    folder = tmp_path / "run"
    faults = [("fit_batch", 4, "SIGTERM")]
    assert server.run(folder, faults=faults)[0] == 143
    good = digest(folder)
    code, _, output = server.run(
        folder, "--nonfinite_patience=1", faults=[(place, 0, action)]
    )
    assert code == 1 and "ValueError" in output and "not finite" in output
    assert digest(folder) == good
    assert newest(folder)
