"""Steps of windows and of groups of parameters, against closed forms."""

import json

import pytest
import torch
from reliability.training import norm_stats
from toys import LOADER, evaluate, fit, toy

import speechbrain as sb

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "factor, windows",
    [
        (1, [[1], [2], [4], [8], [16]]),
        (2, [[1, 2], [4, 8], [16]]),
        (3, [[1, 2, 4], [8, 16]]),
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
    assert brain.optimizer_step == len(windows)


class Growing(torch.utils.data.Sampler):
    """One more item in each epoch, as in the stages of a curriculum."""

    length = 0

    def set_epoch(self):
        self.length += 1

    def __iter__(self):
        return iter(range(self.length))

    def __len__(self):
        return self.length


def test_epochs_may_differ_in_length(tmp_path):
    sampler = Growing()
    sampler.set_epoch()
    brain = toy(tmp_path, epochs=3, grad_accumulation_factor=2)
    brain.at = lambda stage, name: (
        sampler.set_epoch()
        if name.startswith("end of") and is_train(stage)
        else 0
    )
    # Windows: 1; 1 and 2; 1 and 2, 4.
    a = fit(brain, [1, 2, 4], sampler=sampler)
    assert a == -(1 + 1.5 + 1.5 + 4) and brain.optimizer_step == 4


def is_train(stage):
    return stage == sb.Stage.TRAIN


def test_all_groups_are_clipped_together(tmp_path):
    brain = toy(tmp_path, max_grad_norm=1.0)
    # The gradients 3 and 6 have the norm 3 sqrt(5).
    assert fit(brain, [3]) == pytest.approx(-1 / 5**0.5, rel=1e-5)
    norm = brain.train_stats["gradient_norm"]  # before clipping
    assert norm == pytest.approx(3 * 5**0.5)


@pytest.mark.parametrize("bad", [NAN, 2])
def test_a_batch_that_is_not_finite_costs_its_own_window_only(
    tmp_path, caplog, bad
):
    def spoil(stage, name):
        """Makes the loss of a batch infinite, and not its gradients."""
        brain.added = INF if name == "id2" else 0.0

    brain = toy(tmp_path, at=spoil, grad_accumulation_factor=2)
    assert fit(brain, [bad, 1, 4, 8, 16]) == pytest.approx(-(6 + 16))
    assert brain.optimizer_step == 2
    assert brain.train_stats["nonfinite_gradient_steps"] == 1
    (line,) = [t for t in caplog.messages if "nothing changes" in t]
    assert line.endswith(f"mixtures: id{bad}, id1")


@pytest.mark.parametrize(
    "numbers, with_scaler",
    [
        ([NAN, NAN, 4, NAN, NAN, NAN], False),
        # fp16 begins with a scale that is too high for some steps.
        ([NAN] * 22 + [4] + [NAN] * 23, True),
    ],
)
def test_steps_that_are_never_finite_stop_the_training(
    tmp_path, numbers, with_scaler
):
    brain = toy(tmp_path, nonfinite_patience=2)
    if with_scaler:
        brain.scaler = torch.GradScaler("cpu")
    n_steps = 23 if with_scaler else 3
    with pytest.raises(ValueError, match=f"^{n_steps} steps in a row.*: idnan"):
        fit(brain, numbers)
    assert brain.modules.net["a"].item() == -4 and brain.step == len(numbers)


def test_the_norm_is_without_the_scale_of_half_precision(tmp_path):
    brain = toy(tmp_path)
    brain.scaler = torch.GradScaler("cpu", init_scale=1024.0)
    assert fit(brain, [1, NAN, 1]) == -2
    assert brain.train_stats["gradient_norm"] == pytest.approx(5**0.5)
    assert brain.scaler.get_scale() == 512  # after one step that overflowed


def test_mean_and_maximum_are_of_the_finite_norms():
    norms = [torch.tensor(n) for n in (1.0, INF, 3.0, NAN)]
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
    def validate(stage, name):
        """Says that the third epoch is valid, and no other."""
        brain.valid_mean = 1.0 if name == "end of epoch 3" else NAN

    brain = toy(tmp_path, 9, validate, nonfinite_patience=2)
    with pytest.raises(ValueError, match="epoch 6: .* the training has"):
        fit(brain)
    told = [t for t in caplog.messages if "the validation is not finite" in t]
    epochs = [text.partition(":")[0] for text in told]
    assert epochs == [f"epoch {number}" for number in (1, 2, 4, 5)]


def test_checkpoints_wait_for_the_end_of_a_window(tmp_path):
    brain = toy(tmp_path, grad_accumulation_factor=3, ckpt_interval_steps=4)
    saved, save = [], brain.checkpointer.save_and_keep_only

    def traced_save(**keywords):
        """Notes after how many batches a checkpoint is saved."""
        saved.append(brain.step)
        save(**keywords)

    brain.checkpointer.save_and_keep_only = traced_save
    fit(brain, range(1, 12))
    assert saved == [6, 11, 0]  # the last one before the validation


def test_loaders_draw_from_a_generator_of_their_own(tmp_path):
    before = torch.get_rng_state()
    brain = toy(tmp_path, seed=2)
    fit(brain)
    assert torch.equal(torch.get_rng_state(), before)
    loader = brain.make_dataloader([1], sb.Stage.VALID)
    assert loader.generator.initial_seed() == 2


def test_a_run_is_recorded_and_settings_count_once_it_is_loaded(tmp_path):
    settings = tmp_path / "save/settings.json"
    brain = toy(tmp_path)
    fit(brain)
    evaluate(brain)  # the same start
    before = settings.read_bytes()
    assert json.loads(before)["seed"] == 1
    with pytest.raises(ValueError, match="seed: 1 before, 2 now"):
        fit(toy(tmp_path, seed=2))
    brain = toy(tmp_path, seed=2)
    brain.hparams.resume_changed = True
    brain.checkpointer.add_recoverable("new", torch.nn.Linear(1, 1))
    with pytest.raises(RuntimeError, match="new"):
        fit(brain)
    assert settings.read_bytes() == before
    names = [path.name for path in (tmp_path / "record").glob("start-*")]
    assert sorted(names) == ["start-0001.json", "start-0002.json"]


def test_a_resume_draws_on_and_takes_up_a_new_learning_rate(tmp_path):
    drawn = []

    def draw(stage, name):
        """Draws for each batch of the training."""
        if stage == sb.Stage.TRAIN and name.startswith("id"):
            drawn.append(torch.rand(1).item())

    for folder, all_epochs in (("whole", [2]), ("resumed", [1, 2])):
        (tmp_path / folder).mkdir()
        torch.manual_seed(5)
        for epochs in all_epochs:
            brain = toy(tmp_path / folder, epochs, draw)
            brain.lr = 1 / len(all_epochs) ** (epochs - 1)
            a = fit(brain)
            torch.manual_seed(6)
    assert drawn[:6] == drawn[6:]
    assert a == -7 - 7 / 2


def test_the_batches_of_a_test_count_from_1(tmp_path):
    brain, steps = toy(tmp_path), []
    brain.at = lambda stage, name: steps.append(brain.step)
    brain.step = 5  # as a checkpoint within an epoch has set it
    evaluate(brain)
    assert steps == [1, 2, 2]


def test_a_model_that_was_not_trained_is_not_tested(tmp_path):
    with pytest.raises(ValueError, match="expected a checkpoint to test"):
        toy(tmp_path).evaluate([1], "si_sdri", test_loader_kwargs={**LOADER})
    assert (tmp_path / "record/start-0001.json").exists()
