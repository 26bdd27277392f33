"""Kills everywhere, in every configuration, end with the undisturbed model."""

from itertools import product

import pytest
from corpora import make_corpus
from kill_runs import (
    COUNTS,
    KINDS,
    LOADERS,
    PLACES,
    UNSAVED,
    WINDOWS,
    Runs,
    batches_repeated,
    lines,
    lines_saved,
    same_result,
)
from promises import MODEL, STEPS

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise and tones of a second."""
    folder = tmp_path_factory.mktemp("corpus") / "PolSESS"
    make_corpus(folder, COUNTS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(server, corpus, tmp_path_factory):
    """Gives the undisturbed run of a configuration, made once."""
    made = {}

    def run(window, kind):
        """Without workers."""
        if (window, kind) not in made:
            folder = tmp_path_factory.mktemp("whole") / "run"
            Runs(server, corpus, window, kind).succeed(folder)
            batches = [line for line in lines(folder) if "batch" in line]
            assert len(batches) == 14
            made[window, kind] = folder
        return made[window, kind]

    return run


@pytest.mark.promise(MODEL)
@pytest.mark.promise(STEPS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "window, kind, loader", list(product(WINDOWS, KINDS, LOADERS))
)
def test_a_kill_changes_nothing(
    server, corpus, undisturbed, tmp_path, window, kind, loader, place
):
    whole, folder = undisturbed(window, kind), tmp_path / "run"
    runs = Runs(server, corpus, window, kind, loader)
    expected, before = lines(whole), []
    saved = 0
    for where, number in PLACES[place][window]:
        written = runs.kill(folder, where, number)[len(before) :]
        assert written == expected[saved:][: len(written)]
        reached = saved + len(written)
        saved = lines_saved(folder, expected)
        assert batches_repeated(expected[:reached], saved) <= UNSAVED
        before += written
        assert not (folder / "test_scores.csv").exists()
    runs.succeed(folder)
    assert lines(folder)[len(before) :] == expected[saved:]
    assert same_result(folder, whole)
    assert len(list((folder / "save").glob("*CKPT*"))) <= 4


@pytest.mark.promise(MODEL)
@pytest.mark.parametrize("loader", ["workers", "persistent"])
@pytest.mark.parametrize("window, kind", list(product(WINDOWS, KINDS)))
def test_workers_change_nothing(
    server, corpus, undisturbed, tmp_path, window, kind, loader
):
    runs = Runs(server, corpus, window, kind, loader)
    folder = runs.succeed(tmp_path / "run")
    whole = undisturbed(window, kind)
    assert lines(folder) == lines(whole) and same_result(folder, whole)


@pytest.mark.promise(MODEL, control=True)
@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_model(
    server, corpus, undisturbed, tmp_path, kind
):
    folder = Runs(server, corpus, 1, kind).succeed(tmp_path / "run", "--seed=1")
    assert not same_result(folder, undisturbed(1, kind))


def test_curriculum_and_augmentation_are_in_effect(undisturbed):
    models = [undisturbed(1, kind) for kind in KINDS]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        assert not same_result(models[first], models[second])


@pytest.mark.promise(MODEL, control=True)
@pytest.mark.parametrize(
    "flag, loader",
    [
        (("add_recoverable", 0, "leave_out_random"), "no_workers"),
        (("make_dataloader", 0, "stock_generator"), "no_workers"),
        (("make_dataloader", 0, "stock_generator"), "workers"),
        (("set_output_keys", 0, "augment_unseeded"), "workers"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[2],
)
def test_without_its_care_a_kill_changes_the_model(
    server, corpus, tmp_path, flag, loader
):
    runs = Runs(server, corpus, 1, "plain", loader)
    runs.flags = (flag,)
    whole = runs.succeed(tmp_path / "whole")
    again = runs.succeed(tmp_path / "again")
    # Undisturbed, such a training can be repeated.
    assert same_result(again, whole) and lines(again) == lines(whole)
    folder = tmp_path / "run"
    runs.kill(folder, "fit_batch", 5)
    runs.succeed(folder)
    assert not same_result(folder, whole)
