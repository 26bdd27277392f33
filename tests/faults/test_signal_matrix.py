"""Signals of every kind, everywhere, save the training and end it."""

import pytest
from corpora import make_corpus
from kill_runs import COUNTS, Runs, lines, same_result
from promises import SIGNALS
from run_folders import digest, left_after

pytestmark = pytest.mark.nightly
CODES = {"SIGTERM": 143, "SIGUSR1": 138, "SIGINT": 130}
# Where it comes -> batches that have been made when the run has ended. Windows
# are of 5 and of 2 mixtures.
PLACES = {
    "training": ("fit_batch", 2, 5),
    "save": ("write_checksums", 1, 5),
    "validation": ("evaluate_batch", 2, 7),
    "between_epochs": ("start_of_training", 2, 12),
    "test": ("evaluate_batch", 8, 14),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise and tones of a second."""
    folder = tmp_path_factory.mktemp("corpus") / "PolSESS"
    make_corpus(folder, COUNTS)
    return folder


@pytest.fixture(scope="module")
def whole(server, corpus, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return Runs(server, corpus, 5, "augmentation").succeed(folder)


@pytest.mark.promise(SIGNALS)
@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("receiver", ["process", "group"])
@pytest.mark.parametrize("loader", ["no_workers", "workers"])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_saves_and_ends(
    server, corpus, whole, tmp_path, name, receiver, loader, place
):
    folder = tmp_path / "run"
    runs = Runs(server, corpus, 5, "augmentation", loader)
    where, number, batches = PLACES[place]
    action = f"group:{name}" if receiver == "group" else name
    faults = [(where, number, action)]
    code, process, output = runs.run(folder, faults=faults)
    assert code == CODES[name], output[-3000:]
    assert not left_after(process)
    assert not (folder / "test_scores.csv").exists()
    expected, written = lines(whole), lines(folder)
    assert written == expected[: len(written)]
    assert sum("batch" in line for line in written) == batches
    # Nothing is lost: the last step is saved.
    steps = [line["after"] for line in written if "after" in line]
    assert digest(folder) == steps[-1]
    runs.succeed(folder)
    assert lines(folder) == expected
    assert same_result(folder, whole)
