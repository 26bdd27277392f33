"""Steps of windows and of groups of parameters, against closed forms."""

import pytest
import torch
from reliability.training import norm_stats
from toy_brain import fit, toy

INF = float("inf")


@pytest.mark.parametrize(
    "factor, windows",
    [
        (1, [[1], [2], [4], [8], [16]]),
        (2, [[1, 2], [4, 8], [16]]),
        (3, [[1, 2, 4], [8, 16]]),
        (4, [[1, 2, 4, 8], [16]]),
        (5, [[1, 2, 4, 8, 16]]),
        (9, [[1, 2, 4, 8, 16]]),  # more than the epoch has
    ],
)
def test_each_window_makes_a_step_by_the_mean_of_its_batches(
    tmp_path, factor, windows
):
    brain = toy(tmp_path, grad_accumulation_factor=factor)
    a = fit(brain, [1, 2, 4, 8, 16])
    expected = -sum(sum(window) / len(window) for window in windows)
    assert a == pytest.approx(expected, rel=1e-6)
    b = brain.modules.net["b"].item()
    assert b == pytest.approx(2 * expected, rel=1e-6)
    assert brain.optimizer_step == len(windows)


def test_all_groups_are_clipped_together(tmp_path):
    brain = toy(tmp_path, max_grad_norm=1.0)
    # The gradients 3 and 6 have the norm 3 sqrt(5).
    assert fit(brain, [3]) == pytest.approx(-1 / 5**0.5, rel=1e-5)
    b = brain.modules.net["b"].item()
    assert b == pytest.approx(-2 / 5**0.5, rel=1e-5)
    norm = brain.train_stats["gradient_norm"]  # before clipping
    assert norm == pytest.approx(3 * 5**0.5)


def test_a_batch_that_is_not_finite_costs_its_own_window_only(tmp_path, caplog):
    brain = toy(tmp_path, grad_accumulation_factor=2)
    a = fit(brain, [1, float("nan"), 4, 8, 16])
    assert a == pytest.approx(-(6 + 16))
    assert brain.optimizer_step == 2
    assert brain.train_stats["nonfinite_gradient_steps"] == 1
    (line,) = [t for t in caplog.messages if "nothing changes" in t]
    assert line.endswith("mixtures: id1, idnan")


def test_the_norm_is_without_the_scale_of_half_precision(tmp_path):
    brain = toy(tmp_path)
    brain.scaler = torch.GradScaler("cpu", init_scale=1024.0)
    fit(brain, [1, 1])
    assert brain.train_stats["gradient_norm"] == pytest.approx(5**0.5)
    assert brain.scaler.get_scale() == 1024


def test_mean_and_maximum_are_of_the_finite_norms():
    norms = [torch.tensor(n) for n in (1.0, INF, 3.0, float("nan"))]
    assert norm_stats(norms) == {
        "nonfinite_gradient_steps": 2,
        "gradient_norm": 2,
        "gradient_norm_max": 3,
    }
    assert norm_stats(norms[1:2]) == {"nonfinite_gradient_steps": 1}
    assert norm_stats([]) == {"nonfinite_gradient_steps": 0}


def test_a_window_that_debugging_cuts_off_does_not_leak(tmp_path):
    options = {"debug": True, "debug_batches": 1, "debug_epochs": 2}
    brain = toy(tmp_path, epochs=2, grad_accumulation_factor=2, **options)
    fit(brain, [1, 2])
    assert brain.window_ids == ["id1"] and brain.optimizer_step == 0


def test_epochs_that_are_never_valid_stop_the_training(tmp_path, caplog):
    brain = toy(tmp_path, epochs=9, nonfinite_patience=2)
    of_toy = brain.on_stage_end

    def end(stage, stage_loss, epoch=None):
        """Says that the third epoch is valid, and no other."""
        mean = 1.0 if epoch == 3 else float("nan")
        brain.valid_mean = mean
        of_toy(stage, stage_loss, epoch)

    brain.on_stage_end = end
    with pytest.raises(ValueError, match="epoch 6: .* the training has"):
        fit(brain)
    for epoch in (1, 2, 4, 5):
        assert f"epoch {epoch}: the validation is not finite" in caplog.text
    assert "epoch 3: the" not in caplog.text
