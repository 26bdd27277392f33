"""Whatever ends a training, the same command ends it with the same model."""

from functools import partial

import pytest
from by_night import sampled
from corpora import make_corpus
from promises import MODEL, SIGNALS, STEPS
from run_folders import digest, equal, lines, trace

# 7 mixtures in each of 2 epochs: windows of 1, saved three at a time, or one of 5
# and one of 2.
COUNTS = {"train": (5, 2), "val": (2, 1), "test": (2, 1)}
WINDOWS = (1, 5)
UNSAVED = 5  # batches that a kill may cost
KINDS = ("plain", "curriculum", "augmentation")
CURRICULUM = "[{epoch: 1, variants: [R, S]}, {epoch: 2, variants: [SER, SE]}]"
# Persistent workers live as long as the training; others for an epoch.
LOADERS = ("no_workers", "workers", "persistent")
# What happens -> where kills come, for windows of 1 and of 5.
PLACES = {
    "first_step": ([("fit_batch", 1)],) * 2,
    "mid_window": ([("fit_batch", 6)], [("fit_batch", 3)]),
    "window_end": ([("optimizers_step", 3)], [("optimizers_step", 1)]),
    "checkpoint": ([("write_checksums", 2)], [("write_checksums", 1)]),
    "published": ([("write rename save/.CKPT", 2)],) * 2,
    "deletion": ([("delete_checkpoints", 2)],) * 2,
    "last_step": ([("optimizers_step", 7)], [("optimizers_step", 2)]),
    "validation": ([("evaluate_batch", 2)],) * 2,
    "validated": ([("end_of_validation", 1)],) * 2,
    "between_epochs": ([("start_of_training", 2)],) * 2,
    "test": ([("evaluate_batch", 8)],) * 2,
    "twice": (
        [("write_checksums", 2), ("fit_batch", 9)],
        [("fit_batch", 7), ("delete_checkpoints", 3)],
    ),
}
DEFAULT = [
    ("mid_window", "augmentation"),
    ("published", "curriculum"),
    ("validated", "curriculum"),
    ("between_epochs", "augmentation"),
]
# Each place with each kind; all pairs of window, kind, loader and place.
KILLS = [
    (place, (WINDOWS[(i + j) % 2], kind, LOADERS[(i + j) % 3]))
    for i, place in enumerate(PLACES)
    for j, kind in enumerate(KINDS)
]


@pytest.fixture(scope="module")
def train(server, once):
    corpus = once("PolSESS_7", lambda folder: make_corpus(folder, COUNTS))

    def run(folder, configuration, *options, code=0, faults=()):
        window, kind, loader = configuration
        options = [
            f"--grad_accumulation_factor={window}",
            *options,
        ]
        if not any("ckpt_interval_steps" in option for option in options):
            interval = 3 if window == 1 else 1
            options.append(f"--ckpt_interval_steps={interval}")
        if kind == "curriculum":
            options.append(f"--curriculum={CURRICULUM}")
        elif kind == "augmentation":
            faults = [("set_output_keys", 0, "augment"), *faults]
        if loader == "persistent":
            options += [
                f"--{part}_loader_kwargs={{persistent_workers: True}}"
                for part in ("train", "eval")
            ]
        return server.run(
            folder,
            *options,
            data_folder=corpus,
            code=code,
            faults=faults,
            workers=0 if loader == "no_workers" else 2,
        )

    return run


@pytest.fixture(scope="module")
def undisturbed(train, once):
    def folder_of(window, kind, *_):
        def make(folder):
            train(folder, (window, kind, "no_workers"))
            assert len(trace(folder, "batch")) == 14

        return once(f"undisturbed_{window}_{kind}", make)

    return folder_of


def steps(folder):
    return [line for line in lines(folder) if {"batch", "after"} & {*line}]


def lines_saved(folder, whole):
    """How many lines of the undisturbed steps the newest checkpoint holds.

    It is known by its weights, whatever it says of itself. The line of a step
    comes before that of the batch that made it.
    """
    if not list((folder / "save").glob("CKPT+*")):
        return 0
    saved = digest(folder)
    (line,) = [n for n, step in enumerate(whole) if step.get("after") == saved]
    return line + 2


@pytest.mark.promise(MODEL)
@pytest.mark.promise(STEPS)
@pytest.mark.parametrize(
    "place, configuration",
    sampled(KILLS, lambda row: (row[0], row[1][1]) in DEFAULT),
)
def test_a_kill_changes_nothing(
    train, undisturbed, tmp_path, place, configuration
):
    whole, folder = undisturbed(*configuration), tmp_path / "run"
    expected, before, saved = steps(whole), [], 0
    for where, number in PLACES[place][WINDOWS.index(configuration[0])]:
        faults = [(where, number, "SIGKILL")]
        train(folder, configuration, code=-9, faults=faults)
        written = steps(folder)[len(before) :]
        assert written == expected[saved:][: len(written)]
        reached = saved + len(written)
        saved = lines_saved(folder, expected)
        lost = sum("batch" in line for line in expected[saved:reached])
        assert lost <= UNSAVED
        before += written
        assert not (folder / "test_scores.csv").exists()
    # At once: workers of the killed process may still live.
    train(folder, configuration)
    assert steps(folder)[len(before) :] == expected[saved:]
    assert equal(folder, whole)
    names = [path.name for path in (folder / "save").glob("*CKPT*")]
    assert len(names) <= 4 and not list((folder / "save").glob("BROKEN*"))


@pytest.mark.promise(MODEL, control=True)
def test_another_seed_or_kind_gives_another_model(train, undisturbed, tmp_path):
    train(tmp_path / "run", (5, "augmentation", "no_workers"), "--seed=1")
    runs = [tmp_path / "run", *(undisturbed(5, kind) for kind in KINDS)]
    assert len(set(map(digest, runs))) == 4


CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 138}
# Where it comes -> batches that have been made when the run has ended. Windows
# are of 5 and of 2 mixtures.
SIGNALLED = {
    "training": ("fit_batch", 2, 5),
    "save": ("write_checksums", 1, 7),
    "validation": ("evaluate_batch", 2, 7),
    "between_epochs": ("start_of_training", 2, 12),
    "test": ("evaluate_batch", 8, 14),
}
SIGNALS_SENT = [
    (place, ("group:", "")[(i + j) % 2] + name, LOADERS[(i + j) // 2 % 2])
    for i, place in enumerate(SIGNALLED)
    for j, name in enumerate(CODES)
]


@pytest.mark.promise(SIGNALS)
@pytest.mark.parametrize(
    "place, action, loader",
    # By day: SIGUSR1 to all in training, SIGTERM in a save, SIGINT in a validation.
    sampled(SIGNALS_SENT, lambda row: SIGNALS_SENT.index(row) in (2, 3, 7)),
)
def test_a_signal_saves_and_ends(
    train, undisturbed, tmp_path, place, action, loader
):
    folder, configuration = tmp_path / "run", (5, "augmentation", loader)
    whole = undisturbed(*configuration)
    where, number, batches = SIGNALLED[place]
    code = CODES[action.rpartition(":")[2]]
    faults = [(where, number, action)]
    # No checkpoint within an epoch, but for the signal.
    run = partial(train, folder, configuration, "--ckpt_interval_steps=0")
    output = run(code=code, faults=faults).output
    # A worker that hears it would say so, too.
    said = output.count("the training ends after the present step")
    assert said == (place != "test"), output[-3000:]
    assert not (folder / "test_scores.csv").exists()
    expected, written = steps(whole), steps(folder)
    assert written == expected[: len(written)]
    assert sum("batch" in line for line in written) == batches
    # Nothing is lost: the last step is saved.
    assert digest(folder) == trace(folder, "after")[-1]
    run()
    assert steps(folder) == expected and equal(folder, whole)


def test_a_fault_that_does_not_happen_fails_its_test(server, tmp_path):
    for fault in [("fit_batch", 99, "SIGKILL"), ("no_method", 1, "SIGKILL")]:
        with pytest.raises(AssertionError, match="never happened"):
            server.run(tmp_path / "run", faults=[fault])
