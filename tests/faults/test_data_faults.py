"""A file or a process that a run loses is named, and nothing else is lost."""

import os
import shutil
from pathlib import Path

import pytest
from by_night import by_night, sampled
from corpora import FOLDERS, read_csv
from faults.broken_files import CHANGES
from promises import NAMED, WORKERS
from recipe import SAMPLES
from run_folders import digest, equal, newest, trace

EXPECTED = {
    "deleted": "no such file",
    "truncated": "found 7989 samples at 8000 Hz in 1 channel",
    "rate": "found 16000 samples at 16000 Hz in 1 channel",
    "stereo": "found 16000 samples at 8000 Hz in 2 channel",
    "shorter": "found 15999 samples",
    "longer": "found 16001 samples",
    "nan": "NaN or infinite",
    "inf": "NaN or infinite",
    "emptied": "Error opening",
    "garbage": "Error opening",
}
SUBSETS = ("train", "val", "test")


@pytest.fixture
def corpus(tmp_path):
    """A copy of the corpus."""
    return shutil.copytree(SAMPLES, tmp_path / "PolSESS")


def file_of(corpus, subset, column="mixFile"):
    """A file that each epoch reads, and the ID of its mixture."""
    rows = read_csv(corpus / subset / f"corpus_PolSESS_{subset}_final.csv")
    row = max(rows, key=lambda row: row["mixFile"])  # the last one of a test
    path = corpus / subset / FOLDERS[column] / row[column]
    return str(path), Path(row["mixFile"]).stem


@pytest.mark.promise(NAMED)
@pytest.mark.parametrize(
    "change, subset, column, workers",
    sampled(
        [
            (
                change,
                SUBSETS[number % 3],
                ("mixFile", "speaker1File")[number % 2],
                number // 2 % 2 * 2,
            )
            for number, change in enumerate(EXPECTED)
        ],
        lambda row: row[0] == "deleted",
    ),
)
def test_a_file_that_changes_while_a_run_goes_on(
    server, whole, corpus, tmp_path, change, subset, column, workers
):
    folder = tmp_path / "run"
    path, mixture_id = file_of(corpus, subset, column)
    shutil.copy2(path, tmp_path / "original.wav")
    faults = [("fit_batch", 4, f"{change}={path}")]
    run = {"data_folder": corpus, "workers": workers}
    output = server.run(folder, code=1, faults=faults, **run).output
    error = output[output.index("Exception:") :]
    assert f"mixture {mixture_id}: {path}: expected" in error
    assert EXPECTED[change] in error and "--audit full" in error
    assert digest(folder) == trace(folder, "after")[-1]
    # The same command goes on once the file is back.
    shutil.copy2(tmp_path / "original.wav", path)
    server.succeed(folder, **run)
    assert equal(folder, whole)


@pytest.mark.promise(NAMED)
@pytest.mark.parametrize(
    "change, subset, options",
    [
        ("longer", "train", ["--skip_prep=True"]),
        *by_night(
            ("deleted", "val", []),
            ("truncated", "train", []),
            ("nan", "test", []),
            *(
                (change, SUBSETS[(number + 1) % 3], ["--skip_prep=True"])
                for number, change in enumerate(EXPECTED)
                if change != "longer"
            ),
        ),
    ],
)
def test_a_file_that_changes_before_a_run_is_resumed(
    server, whole, corpus, tmp_path, change, subset, options
):
    folder = tmp_path / "run"
    faults = [("fit_batch", 4, "SIGTERM")]
    server.run(folder, data_folder=corpus, code=143, faults=faults)
    path, mixture_id = file_of(corpus, subset)
    shutil.copy2(path, tmp_path / "original.wav")
    CHANGES[change](path)
    output = server.run(folder, *options, data_folder=corpus, code=1).output
    error = output[output.index("Exception:") :]
    assert f"mixture {mixture_id}: " in error
    assert os.path.relpath(path, corpus) in error and "expected" in error
    assert digest(folder) == trace(folder, "after")[-1]
    shutil.copy2(tmp_path / "original.wav", path)
    server.succeed(folder, data_folder=corpus)
    assert equal(folder, whole)


@pytest.mark.promise(NAMED, control=True)
def test_a_file_that_only_seems_to_change(server, whole, corpus, tmp_path):
    path, _ = file_of(corpus, "train")
    faults = [("fit_batch", 4, f"unchanged={path}")]
    server.succeed(tmp_path / "run", data_folder=corpus, faults=faults)
    assert equal(tmp_path / "run", whole)


@pytest.mark.promise(WORKERS)
@pytest.mark.parametrize(
    "place, number",
    [
        ("fit_batch", 6),
        *by_night(
            ("fit_batch", 1),
            ("optimizers_step", 1),
            ("write_checksums", 2),
            ("delete_checkpoints", 2),
            ("evaluate_batch", 2),
            ("evaluate_batch", 10),  # of the test
        ),
    ],
)
def test_a_killed_worker(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    faults = [(place, number, "kill_worker")]
    output = server.run(folder, code=1, faults=faults, workers=2).output
    assert "--num_workers" in output and "memory" in output
    # The first checkpoint, once it has been written, stays.
    if (place, number) not in [("fit_batch", 1), ("optimizers_step", 1)]:
        assert newest(folder)
    server.succeed(folder, workers=2)
    assert equal(folder, whole)


@pytest.mark.promise(WORKERS)
def test_a_killed_scoring_process(server, whole, tmp_path):
    folder = tmp_path / "run"
    faults = [("evaluate_batch", 11, "kill_scoring")]
    output = server.succeed(folder, "--metrics=[slow]", faults=faults)
    assert "no score for" not in output
    scores = read_csv(folder / "test_scores.csv")
    assert {row["slow"] for row in scores} == {"1.000000"}
    undisturbed = [row["si_sdr"] for row in read_csv(whole / "test_scores.csv")]
    assert [row["si_sdr"] for row in scores] == undisturbed


@pytest.mark.promise(WORKERS)
@pytest.mark.parametrize(
    "number, action, code",
    [
        (12, "SIGTERM", 143),
        *by_night((11, "SIGINT", 130), (10, "deleted", 1)),
    ],
)
def test_an_end_does_not_wait_for_scores(
    server, corpus, tmp_path, number, action, code
):
    path, _ = file_of(corpus, "test")
    action = f"{action}={path}" if code == 1 else action
    server.run(
        tmp_path / "run",
        "--metrics=[endless]",
        data_folder=corpus,
        code=code,
        faults=[("evaluate_batch", number, action)],
    )


@pytest.mark.promise(WORKERS)
def test_scoring_processes_of_a_killed_run_end(server, tmp_path):
    run = server.start_faulty(
        tmp_path / "run",
        "--metrics=[endless]",
        faults=[("evaluate_batch", 12, "SIGKILL")],
    )
    assert run.end().code == -9 and not run.left()
