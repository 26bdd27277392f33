"""Averages of weights against loops in float64, and which step counts."""

import pytest
import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.weights import checkpoint_folder, load_weights, parts_of
from inference.trained import load_trained
from made_runs import make_run
from optimization.averaging import MovingAverage, load_mean, save_mean
from optimization.mixin import Optimization
from optimization.schedule import Schedule
from reliability.training import Reliable
from toys import Toy, fit

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter


def walk(network, steps, seed=0):
    """Changes a network's parameters in steps; yields after each."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.1 * noise
        yield


def vector(network):
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach()


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_moving_average_against_a_loop(decay):
    network = torch.nn.Linear(5, 3)
    average = MovingAverage(network, decay)
    average.start()
    expected = vector(network).double()
    for number, _ in enumerate(walk(network, 200)):
        average.update()
        now = min(decay, (number + 1) / (number + 10))
        expected = now * expected + (1 - now) * vector(network).double()
    trained = vector(network)
    average.swap()
    found = vector(network).double()
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(found, trained.double(), atol=1e-3)
    average.swap()
    assert torch.equal(vector(network), trained)


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_checkpoint_holds_both_sets_of_weights(tmp_path, is_swapped):
    network = torch.nn.Linear(5, 3)
    whole = MovingAverage(network, 0.9)
    whole.start()
    for _ in walk(network, 5):
        whole.update()
    if is_swapped:
        whole.swap()
    saver = {"network": network, "ema": whole}
    Checkpointer(tmp_path, saver).save_checkpoint()
    validated = vector(network)
    if is_swapped:
        whole.swap()
    other = torch.nn.Linear(5, 3)
    resumed = MovingAverage(other, 0.9)
    saver = {"network": other, "ema": resumed}
    Checkpointer(tmp_path, saver).recover_if_possible()
    # This is all that a test does.
    assert torch.equal(vector(other), validated)
    resumed.start()
    for trained, average in ((network, whole), (other, resumed)):
        for _ in walk(trained, 5, seed=1):
            average.update()
    for _ in range(2):
        assert torch.equal(vector(other), vector(network))
        resumed.swap()
        whole.swap()


@pytest.mark.parametrize("decay", [1, 1.0, -0.1, "0.9", None, True])
def test_bad_decays_are_named(decay):
    with pytest.raises(ValueError, match="^ema_decay: expected .*, found"):
        MovingAverage(torch.nn.Linear(1, 1), decay)


class Ending(Reliable, Optimization, Toy):
    """With the mixin."""


def brain_of(folder, **keys):
    """A toy whose weights are zero, see Toy."""
    (folder / "hyperparams.yaml").write_text("seed: 1\n")
    net = torch.nn.ParameterDict({"a": torch.zeros(()), "b": torch.zeros(())})
    hparams = {
        "seed": 1,
        "counter": EpochCounter(1),
        "output_folder": str(folder),
        "save_folder": str(folder / "save"),
        "separator": net,
        "lr_scheduler": Schedule(factor=0.5, patience=1),
        **dict(lr_schedule="plateau", warmup_steps=0),
        **dict(ema_decay=0.0, average_best=1),
        **keys,
    }
    brain = Ending(
        modules={"net": net},
        opt_class=torch.optim.SGD,
        hparams=hparams,
        run_opts=dict(
            device="cpu",
            noprogressbar=True,
            max_grad_norm=1e9,
            grad_accumulation_factor=2,
        ),
        checkpointer=SafeCheckpointer(folder / "save", {"net": net}),
    )
    brain.at = lambda stage, name: None
    return brain


def test_each_step_that_is_made_updates_the_average_once(tmp_path):
    brain = brain_of(tmp_path, ema_decay=0.9)
    validated = []
    brain.at = lambda stage, name: validated.append(
        (name, brain.modules.net["a"].item())
    )
    # Windows of two: their means are 1.5, not finite, and 4 of the last one.
    a = fit(brain, [1, 2, float("nan"), 5, 4])
    assert a == -5.5
    first = 0.9 * -1.5
    average = 2 / 11 * first + 9 / 11 * a
    assert dict(validated)["id8"] == pytest.approx(average)
    assert brain.ema.n_updates == 2 == brain.optimizer_step


def test_off_nothing_is_saved_or_kept(tmp_path):
    brain = brain_of(tmp_path)
    fit(brain, [1, 2])
    assert brain.ema.weights is None
    assert not list(tmp_path.rglob("ema.ckpt"))


def test_a_warm_up_scales_each_step(tmp_path):
    brain = brain_of(tmp_path, warmup_steps=4)
    # The mean of a window, times the part of the rate.
    assert fit(brain, [1, 2, 3, 4, 8]) == -(1.5 / 4 + 3.5 / 2 + 8 * 3 / 4)


class Mixtures(torch.utils.data.Sampler):
    """As many in an epoch as its number; it is the mixer, too."""

    epoch = 1

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(range(self.epoch))

    def __len__(self):
        return self.epoch


@pytest.mark.parametrize("limit, expected", [(None, 9), (4, 4)])
def test_a_cosine_counts_the_steps_of_all_epochs(tmp_path, limit, expected):
    mixtures = Mixtures()
    keys = {"train_mixer": mixtures, "epoch_counter": EpochCounter(5)}
    brain = brain_of(tmp_path, lr_schedule="cosine", **keys)
    brain.optimizer_step_limit = limit
    fit(brain, range(5), sampler=mixtures)
    # Windows of two in epochs of 1 to 5 batches: 1 + 1 + 2 + 2 + 3
    assert brain.hparams.lr_scheduler.total_steps == expected
    assert mixtures.epoch == 1


@pytest.mark.parametrize(
    "key, value",
    [
        ("average_best", 0),
        ("average_best", "3"),
        ("lr_schedule", "step"),
        ("warmup_steps", 0.5),
        ("ema_decay", 2),
    ],
)
def test_bad_values_stop_a_run_before_its_data(tmp_path, key, value):
    with pytest.raises(ValueError, match=f"^{key}: expected .*, found"):
        brain_of(tmp_path, **{key: value})


def test_so_many_best_checkpoints_are_kept_and_averaged(tmp_path):
    network = torch.nn.BatchNorm1d(2)  # it has a number that is an int
    saver = SafeCheckpointer(tmp_path, {"network": network})
    saver.keep_best = 3
    for epoch, score in enumerate([5.0, 9.0, 1.0, 7.0, 8.0, 2.0, 3.0], 1):
        network.weight.data.fill_(float(epoch))
        network.num_batches_tracked.fill_(10 * epoch)
        saver.save_and_keep_only(
            meta={"epoch": epoch, "si_sdri": score}, max_keys=["si_sdri"]
        )
    left = {found.meta["epoch"] for found in saver.list_checkpoints()}
    assert left == {2, 4, 5, 6, 7}  # and the last two
    best = saver.find_checkpoints(max_key="si_sdri", max_num_checkpoints=3)
    load_mean(best, {"network": network})
    assert network.weight.tolist() == pytest.approx([11 / 3] * 2)
    assert network.num_batches_tracked == 110 // 3
    save_mean(tmp_path / "averaged", best, {"network": network})
    assert checkpoint_folder(tmp_path) == tmp_path / "averaged"
    other = torch.nn.BatchNorm1d(2)
    load_weights(other, tmp_path)
    assert torch.equal(other.weight, network.weight)
    (tmp_path / "averaged/network.ckpt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="network.ckpt is not what was saved"):
        load_weights(other, tmp_path)


def test_commands_say_which_weights_they_take(tmp_path):
    run, separator = tmp_path / "run", make_run(tmp_path / "run")
    assert load_trained(run).weights == ""
    parts = parts_of(separator)
    average = MovingAverage(separator, 0.999)
    average.start()
    saver = Checkpointer(run / "save", {**parts, "ema": average})
    # Within an epoch the network has the weights that are trained.
    within = saver.save_checkpoint({"si_sdri": 0.0, "epoch": 4})
    assert load_trained(within.path).weights == ""
    average.swap()
    saver.save_checkpoint({"si_sdri": 9.0, "epoch": 4})
    text = load_trained(run).weights
    assert text == "moving average (decay 0.999) of epoch 4"
    saver.save_checkpoint({"si_sdri": 8.0, "epoch": 3})
    best = saver.find_checkpoints(max_key="si_sdri", max_num_checkpoints=2)
    save_mean(run / "save/averaged", best, parts)
    text = (
        "mean of the 2 best epochs: 3, 4, each a moving average (decay 0.999)"
    )
    for path in (run, run / "save"):
        assert load_trained(path).weights == text
