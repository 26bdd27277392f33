"""Numbers that are not finite spoil neither weights nor the choice of a model."""

import pytest
import torch
from checkpoints.checkpointer import SafeCheckpointer
from promises import INVALID, SKIPPED, STOPPED
from run_folders import digest, trace

matrix = pytest.mark.nightly

# 4 mixtures: one window an epoch.
OPTIONS = ["--number_of_epochs=3", "--grad_accumulation_factor=4"]
PLACES = {
    "nan": "optimizers_step",
    "inf": "optimizers_step",
    "nan_loss": "compute_objectives",
    "inf_loss": "compute_objectives",
    "nan_input": "compute_forward",
    "inf_input": "compute_forward",
}
NUMBERS = {"optimizers_step": 2, "compute_objectives": 10, "compute_forward": 9}
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="fp16 needs a CUDA GPU"
)
PRECISIONS = {"fp32": [], "bf16": [], "scaled": [], "fp16": [needs_cuda]}
MATRIX = [
    pytest.param(action, precision, marks=[matrix, *marks])
    for precision, marks in PRECISIONS.items()
    for action in PLACES
]


def options_of(precision):
    """The options of a run in a precision."""
    if precision == "scaled":
        return OPTIONS
    device = "cuda" if precision == "fp16" else "cpu"
    return [*OPTIONS, f"--precision={precision}", f"--device={device}"]


def faults_of(precision, *faults):
    """Faults, and what makes fp32 a fp16 without a GPU."""
    scaler = ("fit", 1, "scaler")
    return [*faults, scaler] if precision == "scaled" else list(faults)


def changed(folder):
    """For each step, whether it changed weights or optimizer."""
    steps = zip(trace(folder, "before"), trace(folder, "after"))
    return [before != after for before, after in steps]


def warnings_in(output):
    """The lines that name mixtures of steps that were not made."""
    return [line for line in output.splitlines() if "nothing changes" in line]


@pytest.mark.promise(SKIPPED)
@pytest.mark.parametrize(
    "action, precision",
    [("nan", "bf16"), ("inf_loss", "fp32"), ("nan_input", "scaled"), *MATRIX],
)
def test_a_step_that_is_not_finite_is_skipped(
    server, tmp_path, action, precision
):
    folder = tmp_path / "run"
    place = PLACES[action]
    # In the second epoch; 4 validation mixtures lie before it.
    faults = faults_of(precision, (place, NUMBERS[place], action))
    output = server.succeed(folder, *options_of(precision), faults=faults)
    steps = changed(folder)
    # fp16 may begin with a scale that is too high.
    assert steps == [True, False, True] or precision == "fp16" and not steps[1]
    named = warnings_in(output)
    mixtures = [batch[2] for batch in trace(folder, "batch")[4:8]]
    assert len(named) == steps.count(False)
    assert any(line.endswith(", ".join(mixtures)) for line in named)
    assert "nonfinite_gradient_steps: 1" in output


@pytest.mark.promise(SKIPPED, control=True)
def test_a_step_of_speechbrain_is_not_skipped(server, tmp_path):
    faults = [("optimizers_step", 2, "stock_inf")]
    server.succeed(tmp_path / "run", *options_of("bf16"), faults=faults)
    assert changed(tmp_path / "run") == [True, True, True]


@pytest.mark.promise(STOPPED)
@pytest.mark.parametrize(
    "action, precision",
    [("nan_loss", "bf16"), ("inf_input", "fp32"), *MATRIX],
)
def test_nothing_but_such_steps_stops(server, tmp_path, action, precision):
    folder = tmp_path / "run"
    options = [*options_of(precision)[1:], "--number_of_epochs=40"]
    faults = faults_of(precision, ("fit_batch", 4, "SIGTERM"))
    assert server.run(folder, *options, faults=faults)[0] == 143
    good = digest(folder)
    patience = 2
    code, _, output = server.run(
        folder,
        *options,
        f"--nonfinite_patience={patience}",
        faults=faults_of(precision, (PLACES[action], 0, action)),
    )
    tolerated = patience + 20 * (precision in ("fp16", "scaled"))
    assert code == 1, output[-3000:]
    assert f"ValueError: {tolerated + 1} steps in a row" in output
    assert changed(folder)[1:] == [False] * tolerated
    ids = {batch[2] for batch in trace(folder, "batch")}
    assert all(mixture_id in output.splitlines()[-1] for mixture_id in ids)
    assert digest(folder) == good


@pytest.mark.promise(STOPPED)
@pytest.mark.parametrize(
    "place, number", [("update_average", 12), ("end_of_validation", 2)]
)
def test_weights_that_are_not_finite_are_not_saved(
    server, tmp_path, place, number
):
    folder = tmp_path / "run"
    faults = [(place, number, "nan_weights")]
    code, _, output = server.run(folder, *OPTIONS, faults=faults)
    assert code == 1 and "such weights are never saved" in output
    assert digest(folder) in trace(folder, "after")


def metas(folder):
    """Epoch -> score of the checkpoints that ended one."""
    found = {}
    for checkpoint in SafeCheckpointer(folder / "save").list_checkpoints():
        if "epoch" in checkpoint.meta:
            found[checkpoint.meta["epoch"]] = checkpoint.meta.get("si_sdri")
    return found


@pytest.mark.promise(INVALID)
@pytest.mark.parametrize(
    "action, epoch",
    [
        ("nan_scores", 3),
        ("nan_score", 3),
        pytest.param("nan_scores", 1, marks=matrix),
        pytest.param("nan_score", 1, marks=matrix),
        pytest.param("nan_scores", 2, marks=matrix),
        pytest.param("nan_score", 2, marks=matrix),
    ],
)
def test_a_validation_that_is_not_finite(server, tmp_path, action, epoch):
    folder = tmp_path / "run"
    faults = [("end_of_validation", epoch, action)]
    output = server.succeed(folder, *OPTIONS, faults=faults)
    assert f"epoch {epoch}: the validation is not finite" in output
    scores = metas(folder)
    # The last two checkpoints are kept, and the best.
    assert scores.get(epoch) is None
    finite = {n: score for n, score in scores.items() if score is not None}
    loaded = [line for line in output.splitlines() if "Loading a check" in line]
    tested = SafeCheckpointer(folder / "save").find_checkpoint(
        max_key="si_sdri"
    )
    assert loaded[-1].endswith(str(tested.path))
    assert tested.meta["si_sdri"] == max(finite.values())
    assert changed(folder) == [True, True, True]


@pytest.mark.promise(INVALID, control=True)
def test_the_last_validation_is_the_best_otherwise(server, tmp_path):
    folder = tmp_path / "run"
    output = server.succeed(folder, *OPTIONS)
    scores = metas(folder)
    assert "is not finite" not in output and None not in scores.values()
    assert scores[3] == max(scores.values())


@pytest.mark.promise(INVALID)
def test_nothing_but_invalid_validations_stops(server, tmp_path):
    folder = tmp_path / "run"
    options = ["--nonfinite_patience=1", "--number_of_epochs=9"]
    faults = [("end_of_validation", 0, "nan_scores")]
    code, _, output = server.run(folder, *OPTIONS[1:], *options, faults=faults)
    assert code == 1 and "ValueError: epoch 2: the validation" in output
    assert len(changed(folder)) == 2 and digest(folder)
