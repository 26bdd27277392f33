"""A file or a process that a run loses is named, and nothing else is lost."""

import os
import shutil
from functools import partial
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
    "longer": "found 16001 samples",
    "nan": "NaN or infinite",
    "inf": "NaN or infinite",
    "garbage": "Error opening",
}
SUBSETS = ("train", "val", "test") * 4
COLUMNS = ("mixFile", "speaker1File") * 4
# Changes in a training, with and without workers; and before it is resumed.
CHANGED = sampled(
    list(zip(EXPECTED, SUBSETS, COLUMNS, (0, 0, 2, 2) * 2)),
    lambda row: row[0] == "deleted",
)
CHANGED += [("longer", "train", "mixFile", "--skip_prep=True")]
CHANGED += by_night(
    ("nan", "val", "mixFile", "--skip_prep=True"),
    ("deleted", "val", "mixFile", "--skip_prep=False"),
    ("truncated", "train", "mixFile", "--skip_prep=False"),
    ("nan", "test", "mixFile", "--skip_prep=False"),
)


@pytest.fixture
def corpus(tmp_path):
    return shutil.copytree(SAMPLES, tmp_path / "PolSESS")


def file_of(corpus, subset, column):
    """A file that each epoch reads, and the ID of its mixture."""
    rows = read_csv(corpus / subset / f"corpus_PolSESS_{subset}_final.csv")
    row = max(rows, key=lambda row: row["mixFile"])  # the last one of a test
    path = corpus / subset / FOLDERS[column] / row[column]
    return str(path), Path(row["mixFile"]).stem


@pytest.mark.promise(NAMED)
@pytest.mark.parametrize("change, subset, column, how", CHANGED)
def test_a_file_that_changes(
    server, whole, corpus, tmp_path, change, subset, column, how
):
    folder = tmp_path / "run"
    path, mixture_id = file_of(corpus, subset, column)
    shutil.copy2(path, tmp_path / "original.wav")
    run = partial(server.run, folder, data_folder=corpus)
    if isinstance(how, int):
        faults = [("fit_batch", 4, f"{change}={path}")]
        output = run(code=1, faults=faults, workers=how).output
    else:
        run(code=143, faults=[("fit_batch", 4, "SIGTERM")])
        CHANGES[change](path)
        output = run(how, code=1).output
    error = output[output.rindex("error: ") :]
    assert f"mixture {mixture_id}: " in error
    assert os.path.relpath(path, corpus) in error and "expected" in error
    if how != "--skip_prep=False":
        assert f"{path}: expected" in error and EXPECTED[change] in error
        assert "--audit full" in error
    assert digest(folder) == trace(folder, "after")[-1]
    # The same command goes on once the file is back.
    shutil.copy2(tmp_path / "original.wav", path)
    run(code=0)
    assert equal(folder, whole)


@pytest.mark.promise(NAMED, control=True)
def test_a_file_that_only_seems_to_change(server, whole, corpus, tmp_path):
    path, _ = file_of(corpus, "train", "mixFile")
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
            ("write_checksums", 2),
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
    assert (place, number) == ("fit_batch", 1) or newest(folder)
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
    "place, number, action, code",
    [
        ("fit_batch", 2, "SIGKILL", -9),
        ("evaluate_batch", 12, "SIGTERM", 143),
        ("evaluate_batch", 12, "SIGKILL", -9),
        *by_night(
            ("evaluate_batch", 11, "SIGINT", 130),
            ("evaluate_batch", 10, "deleted", 1),
        ),
    ],
)
def test_an_end_waits_for_no_process_and_leaves_none(
    server, corpus, tmp_path, place, number, action, code
):
    path, _ = file_of(corpus, "test", "mixFile")
    run = server.start_faulty(
        tmp_path / "run",
        "--metrics=[endless]",
        data_folder=corpus,
        faults=[(place, number, f"{action}={path}" if code == 1 else action)],
        workers=2 * (place == "fit_batch"),
    )
    assert run.end().code == code and not run.left()
