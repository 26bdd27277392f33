"""Numbers that are not finite spoil neither weights nor the choice of a model."""

import pytest
import torch
from by_night import by_night
from checkpoints.checkpointer import SafeCheckpointer
from promises import INVALID, SKIPPED, STOPPED
from run_folders import digest, trace

# 4 mixtures: one window an epoch.
OPTIONS = ["--number_of_epochs=3", "--grad_accumulation_factor=4"]
# Without the moving average the last epoch is the best.
WITHOUT_AVERAGE = [*OPTIONS, "--ema_decay=0"]
# Action -> where, and the call that lies in the second epoch, after the first one
# and its 4 validation mixtures.
PLACES = {
    "nan": ("optimizers_step", 2),
    "inf": ("optimizers_step", 2),
    "nan_loss": ("compute_objectives", 10),
    "inf_loss": ("compute_objectives", 10),
}
# See conftest.py.
ON_GPU = by_night(*((a, "fp16") for a in PLACES if torch.cuda.is_available()))


def options_of(precision):
    device = "cuda" if precision == "fp16" else "cpu"
    return [*OPTIONS, f"--precision={precision}", f"--device={device}"]


def changed(folder):
    """For each step, whether it changed weights or optimizer."""
    pairs = zip(trace(folder, "before"), trace(folder, "after"), strict=True)
    return [before != after for before, after in pairs]


@pytest.mark.promise(SKIPPED)
@pytest.mark.parametrize(
    "action, precision",
    [
        ("nan", "bf16"),
        ("inf_loss", "fp32"),
        *by_night(("inf", "fp32"), ("nan_loss", "bf16")),
        *ON_GPU,
    ],
)
def test_a_step_that_is_not_finite_is_skipped(
    server, tmp_path, action, precision
):
    folder = tmp_path / "run"
    faults = [(*PLACES[action], action)]
    output = server.succeed(folder, *options_of(precision), faults=faults)
    steps = changed(folder)
    # fp16 may begin with a scale that is too high.
    assert steps == [True, False, True] or precision == "fp16" and not steps[1]
    named = [line for line in output.splitlines() if "nothing changes" in line]
    mixtures = [batch[2] for batch in trace(folder, "batch")[4:8]]
    assert len(named) == steps.count(False)
    assert any(line.endswith(": " + ", ".join(mixtures)) for line in named)
    assert "nonfinite_gradient_steps: 1" in output


@pytest.mark.promise(SKIPPED, control=True)
def test_a_step_of_speechbrain_is_not_skipped(server, tmp_path):
    faults = [("optimizers_step", 2, "stock_inf")]
    server.succeed(tmp_path / "run", *options_of("bf16"), faults=faults)
    assert changed(tmp_path / "run") == [True, True, True]


@pytest.mark.promise(STOPPED)
@pytest.mark.parametrize(
    "action, precision",
    [
        ("nan_loss", "bf16"),
        *by_night(("nan", "fp32"), ("inf_loss", "bf16")),
        *ON_GPU,
    ],
)
def test_nothing_but_such_steps_stops(server, tmp_path, action, precision):
    folder = tmp_path / "run"
    options = [*options_of(precision)[1:], "--number_of_epochs=40"]
    faults = [("fit_batch", 4, "SIGTERM")]
    server.run(folder, *options, code=143, faults=faults)
    good = digest(folder)
    faults = [(PLACES[action][0], 0, action)]
    options.append("--nonfinite_patience=2")
    output = server.run(folder, *options, code=1, faults=faults).output
    tolerated = 22 if precision == "fp16" else 2
    assert f"error: {tolerated + 1} steps in a row" in output
    assert changed(folder)[1:] == [False] * tolerated
    ids = {batch[2] for batch in trace(folder, "batch")}
    assert all(mixture_id in output.splitlines()[-1] for mixture_id in ids)
    assert digest(folder) == good


@pytest.mark.promise(STOPPED)
def test_weights_that_are_not_finite_are_not_saved(server, tmp_path):
    folder = tmp_path / "run"
    faults = [("update_average", 12, "nan_weights")]
    output = server.run(folder, *OPTIONS, code=1, faults=faults).output
    assert "such weights are never saved" in output
    assert digest(folder) in trace(folder, "after")


def scores_of(folder):
    """Epoch -> score of the checkpoints that ended one."""
    saved = SafeCheckpointer(folder / "save").list_checkpoints()
    metas = [checkpoint.meta for checkpoint in saved]
    return {m["epoch"]: m.get("si_sdri") for m in metas if "epoch" in m}


@pytest.mark.promise(INVALID)
@pytest.mark.parametrize(
    "action, epoch",
    [("nan_score", 3), *by_night(("nan_scores", 1))],
)
def test_a_validation_that_is_not_finite(server, tmp_path, action, epoch):
    folder = tmp_path / "run"
    faults = [("end_of_validation", epoch, action)]
    output = server.succeed(folder, *WITHOUT_AVERAGE, faults=faults)
    assert f"epoch {epoch}: the validation is not finite" in output
    scores = scores_of(folder)
    # The last two checkpoints are kept, and the best.
    assert scores.get(epoch) is None
    finite = [score for score in scores.values() if score is not None]
    best = SafeCheckpointer(folder / "save").find_checkpoint(max_key="si_sdri")
    loaded = [line for line in output.splitlines() if "Loading a check" in line]
    assert loaded[-1].endswith(f"/{best.path.name}")
    assert best.meta["si_sdri"] == max(finite)
    assert changed(folder) == [True, True, True]


@pytest.mark.promise(INVALID, control=True)
def test_the_last_validation_is_the_best_otherwise(server, tmp_path):
    folder = tmp_path / "run"
    output = server.succeed(folder, *WITHOUT_AVERAGE)
    scores = scores_of(folder)
    assert "is not finite" not in output and None not in scores.values()
    assert scores[3] == max(scores.values())
