"""Learning rates of all steps against formulas; plateaus against SpeechBrain's."""

import math

import pytest
import torch
from optimization.schedule import Schedule, check_schedule

from speechbrain.nnet.schedulers import ReduceLROnPlateau

PLATEAU = dict(factor=0.5, patience=1, dont_halve_until_epoch=0)
LOSSES = [-1.0, -3.0, -2.0, -2.0, -2.5, -4.0, -1.0, -1.0, -1.0]


def optimizer_of(lr=0.2):
    return torch.optim.SGD([torch.zeros(1), torch.zeros(1)], lr=lr)


def rate_of(optimizer):
    (rate,) = {group["lr"] for group in optimizer.param_groups}
    return rate


def rates_of(schedule, optimizer, steps):
    """The learning rate of each step."""
    rates = []
    for step in steps:
        schedule.set_rate(optimizer, step)
        rates.append(rate_of(optimizer))
    return rates


def cosine(step, warmup_steps, total_steps):
    """Half the square of a cosine is written in another way here."""
    if step <= warmup_steps:
        return step / warmup_steps
    part = (step - warmup_steps) / (total_steps - warmup_steps)
    return math.cos(math.pi / 2 * part) ** 2


@pytest.mark.parametrize("warmup_steps", [0, 1, 4])
def test_warm_up_and_cosine(warmup_steps):
    schedule, optimizer = Schedule(**PLATEAU), optimizer_of()
    schedule.start("cosine", warmup_steps, 20)
    rates = rates_of(schedule, optimizer, range(1, 21))
    expected = [0.2 * cosine(n, warmup_steps, 20) for n in range(1, 20)]
    assert rates[:-1] == pytest.approx(expected)
    assert rates[-1] == schedule.lr_min == 1e-8
    # Validations change nothing.
    assert schedule([optimizer], 1, 5.0) == (1e-8, 1e-8)


def test_the_plateau_begins_after_the_warm_up():
    schedule, optimizer = Schedule(**PLATEAU), optimizer_of()
    schedule.start("plateau", 5)
    followed = []
    for epoch, loss in enumerate([1.0, 2.0, 3.0, 4.0, 5.0], 1):
        steps = (2 * epoch - 1, 2 * epoch)
        followed += rates_of(schedule, optimizer, steps)
        _, rate = schedule([optimizer], epoch, loss)
        for group in optimizer.param_groups:
            group["lr"] = rate
    # It ends in epoch 3, which is worse than epoch 2, and so is epoch 4.
    expected = [0.04, 0.08, 0.12, 0.16, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1]
    assert followed == pytest.approx(expected)


def test_without_them_it_is_the_plateau_of_speechbrain(tmp_path):
    ours, stock = Schedule(**PLATEAU), ReduceLROnPlateau(**PLATEAU)
    rates = []
    for scheduler in (ours, stock):
        optimizer = optimizer_of()
        for epoch, loss in enumerate(LOSSES, 1):
            if scheduler is ours:
                scheduler.start("plateau", 0)
                scheduler.set_rate(optimizer, epoch)
            rates.append(scheduler([optimizer], epoch, loss))
            for group in optimizer.param_groups:
                group["lr"] = rates[-1][1]
    assert rates[: len(LOSSES)] == rates[len(LOSSES) :]
    assert rates[-1][1] < 0.2
    # A checkpoint of an older run is read.
    stock.save(tmp_path / "old.ckpt")
    loaded = Schedule(**PLATEAU)
    loaded.load(tmp_path / "old.ckpt")
    assert loaded.losses == LOSSES and loaded.anchor == stock.anchor
    assert loaded.patience_counter == stock.patience_counter


@pytest.mark.parametrize("step", [2, 4, 9])
def test_a_resume_goes_on(tmp_path, step, caplog):
    whole = Schedule(**PLATEAU)
    whole.start("cosine", 4, 12)
    expected = rates_of(whole, optimizer_of(), range(1, 13))
    whole.set_rate(optimizer_of(), step)
    whole.save(tmp_path / "state.ckpt")
    resumed, optimizer = Schedule(**PLATEAU), optimizer_of()
    resumed.load(tmp_path / "state.ckpt")
    resumed.start("cosine", 4, 12)
    assert resumed.step == step and not caplog.messages
    assert rates_of(resumed, optimizer, range(1, 13)) == expected
    # With more epochs it keeps its length, and says so.
    longer = Schedule(**PLATEAU)
    longer.load(tmp_path / "state.ckpt")
    longer.start("cosine", 4, 20)
    (message,) = caplog.messages
    assert "keeps its 12 steps" in message and "20 now" in message
    rates = rates_of(longer, optimizer, range(1, 15))
    assert rates == [*expected, 1e-8, 1e-8]


def test_a_plateau_does_not_keep_the_rate_at_the_end_of_a_cosine(tmp_path):
    ended, optimizer = Schedule(**PLATEAU), optimizer_of()
    ended.start("cosine", 2, 4)
    rates_of(ended, optimizer, range(1, 5))
    ended.save(tmp_path / "state.ckpt")
    resumed = Schedule(**PLATEAU)
    resumed.load(tmp_path / "state.ckpt")
    resumed.start("plateau", 2)
    assert rates_of(resumed, optimizer, [5]) == [0.2]
    optimizer.param_groups[0]["lr"] = 0.1  # by the plateau
    assert rates_of(resumed, optimizer, [6]) == [0.1]
    # A later cosine has a length of its own.
    resumed.start("cosine", 2, 8)
    assert resumed.total_steps == 8


@pytest.mark.parametrize(
    "kind, warmup_steps, key",
    [
        ("linear", 0, "lr_schedule"),
        (None, 0, "lr_schedule"),
        ("plateau", -1, "warmup_steps"),
        ("cosine", 2.0, "warmup_steps"),
        ("cosine", True, "warmup_steps"),
    ],
)
def test_bad_values_are_named(kind, warmup_steps, key):
    with pytest.raises(ValueError, match=f"^{key}: expected .*, found"):
        check_schedule(kind, warmup_steps)


def test_a_warm_up_leaves_steps_to_the_cosine():
    schedule = Schedule(**PLATEAU)
    with pytest.raises(ValueError, match="fewer than the 8 steps.*found 8"):
        schedule.start("cosine", 8, 8)
