"""A file or a process that a run loses is named, and nothing else is lost."""

import os
import shutil
import time
from pathlib import Path

import pytest
from corpora import FOLDERS, read_csv
from faults.broken_files import CHANGES, changed_at
from promises import NAMED, WORKERS
from recipe import SAMPLES
from run_folders import digest, newest, trace

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
matrix = pytest.mark.nightly


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    server.succeed(folder)
    return folder


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


def limit():
    """10 s of a machine that has nothing else to do."""
    return 10 * max(1, os.getloadavg()[0] / os.cpu_count())


def ends_at_once(server, folder, corpus, path, *options, **keywords):
    """Runs; the run must fail soon after the file's change; its output."""
    options = [f"--data_folder={corpus}", *options]
    code, process, output = server.run(folder, *options, **keywords)
    assert code == 1, output[-3000:]
    assert time.time() - max(changed_at(path), server.began) < limit()
    assert not left_after(process)
    return output[output.index("Exception:") :]


def equal(folder, whole):
    """The same model, and the same scores of it."""
    scores = [(run / "test_scores.csv").read_bytes() for run in (folder, whole)]
    return digest(folder) == digest(whole) and scores[0] == scores[1]


@pytest.mark.promise(NAMED)
@pytest.mark.parametrize(
    "change, subset, column, workers",
    [
        ("deleted", "train", "mixFile", 2),
        ("truncated", "val", "speaker1File", 0),
        ("rate", "test", "mixFile", 2),
        *(
            pytest.param(
                change,
                subset,
                ("mixFile", "speaker1File")[number % 2],
                number // 2 % 2 * 2,
                marks=matrix,
            )
            for subset in ("train", "val", "test")
            for number, change in enumerate(EXPECTED)
        ),
    ],
)
def test_a_file_that_changes_while_a_run_goes_on(
    server, whole, corpus, tmp_path, change, subset, column, workers
):
    folder = tmp_path / "run"
    path, mixture_id = file_of(corpus, subset, column)
    shutil.copy2(path, tmp_path / "original.wav")
    faults = [("fit_batch", 4, f"{change}={path}")]
    error = ends_at_once(
        server, folder, corpus, path, faults=faults, workers=workers
    )
    assert f"mixture {mixture_id}: {path}: expected" in error
    assert EXPECTED[change] in error and "--audit full" in error
    assert digest(folder) == trace(folder, "after")[-1]
    # The same command goes on once the file is back.
    shutil.copy2(tmp_path / "original.wav", path)
    server.succeed(folder, f"--data_folder={corpus}")
    assert equal(folder, whole)


@pytest.mark.promise(NAMED)
@pytest.mark.parametrize(
    "change, subset, options",
    [
        ("deleted", "train", []),
        ("rate", "val", ["--skip_prep=True"]),
        *(
            pytest.param(change, subset, ["--skip_prep=True"], marks=matrix)
            for subset in ("train", "val", "test")
            for change in EXPECTED
        ),
        pytest.param("truncated", "val", [], marks=matrix),
        pytest.param("nan", "test", [], marks=matrix),
    ],
)
def test_a_file_that_changes_before_a_run_is_resumed(
    server, whole, corpus, tmp_path, change, subset, options
):
    folder = tmp_path / "run"
    data_folder = f"--data_folder={corpus}"
    faults = [("fit_batch", 4, "SIGTERM")]
    assert server.run(folder, data_folder, faults=faults)[0] == 143
    path, mixture_id = file_of(corpus, subset)
    shutil.copy2(path, tmp_path / "original.wav")
    CHANGES[change](path)
    error = ends_at_once(server, folder, corpus, path, *options)
    assert f"mixture {mixture_id}: " in error
    assert os.path.relpath(path, corpus) in error and "expected" in error
    assert digest(folder) == trace(folder, "after")[-1]
    shutil.copy2(tmp_path / "original.wav", path)
    server.succeed(folder, data_folder)
    assert equal(folder, whole)


@pytest.mark.promise(NAMED, control=True)
def test_a_file_that_only_seems_to_change(server, whole, corpus, tmp_path):
    path, _ = file_of(corpus, "train")
    server.succeed(
        tmp_path / "run",
        f"--data_folder={corpus}",
        faults=[("fit_batch", 4, f"unchanged={path}")],
    )
    assert equal(tmp_path / "run", whole)


@pytest.mark.promise(WORKERS)
@pytest.mark.parametrize(
    "place, number",
    [
        ("fit_batch", 6),
        pytest.param("fit_batch", 1, marks=matrix),
        pytest.param("optimizers_step", 1, marks=matrix),
        pytest.param("write_checksums", 2, marks=matrix),
        pytest.param("write_checksums", 1, marks=matrix),
        pytest.param("delete_checkpoints", 2, marks=matrix),
        pytest.param("evaluate_batch", 2, marks=matrix),
        ("evaluate_batch", 10),  # of the test
    ],
)
def test_a_killed_worker(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    faults = [(place, number, "kill_worker")]
    code, process, output = server.run(folder, faults=faults, workers=2)
    assert code == 1, output[-3000:]
    assert time.time() - server.began < 3 * limit()
    assert not left_after(process)
    assert "--num_workers" in output and "memory" in output
    # The first checkpoint, once it has been written, stays.
    before = [("fit_batch", 1), ("optimizers_step", 1), ("write_checksums", 1)]
    if (place, number) not in before:
        assert newest(folder)
    server.succeed(folder, workers=2)
    assert equal(folder, whole)


@pytest.mark.promise(WORKERS)
def test_a_killed_scoring_process(server, whole, tmp_path):
    options = ["--metrics=[slow]"]
    faults = [("evaluate_batch", 11, "kill_scoring")]
    folder = tmp_path / "run"
    output = server.succeed(folder, *options, faults=faults)
    assert "no score for" not in output
    scores = read_csv(folder / "test_scores.csv")
    assert {row["slow"] for row in scores} == {"1.000000"}
    undisturbed = [row["si_sdr"] for row in read_csv(whole / "test_scores.csv")]
    assert [row["si_sdr"] for row in scores] == undisturbed


@pytest.mark.promise(WORKERS)
@pytest.mark.parametrize(
    "number, action, code",
    [
        (10, "deleted", 1),
        (12, "SIGTERM", 143),
        pytest.param(11, "SIGINT", 130, marks=matrix),
    ],
)
def test_an_end_does_not_wait_for_scores(
    server, corpus, tmp_path, number, action, code
):
    path, _ = file_of(corpus, "test")
    action = f"{action}={path}" if code == 1 else action
    found, process, output = server.run(
        tmp_path / "run",
        f"--data_folder={corpus}",
        "--metrics=[endless]",
        faults=[("evaluate_batch", number, action)],
    )
    assert found == code, output[-3000:]
    assert not left_after(process)
    assert time.time() - server.began < 2 * limit()


@matrix
@pytest.mark.promise(WORKERS)
def test_scoring_processes_of_a_killed_run(server, tmp_path):
    faults = [("evaluate_batch", 12, "SIGKILL")]
    options = ["--metrics=[slow]"]
    folder = tmp_path / "run"
    code, process, _ = server.run(folder, *options, faults=faults)
    assert code == -9 and not left_after(process, seconds=30)
