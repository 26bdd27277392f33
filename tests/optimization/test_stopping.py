"""The epoch at which a training stops, after resumes with other limits too."""

import pytest
import yaml
from optimization.stopping import EpochCounter

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter as StockCounter

# Gains in epochs 1, 2 and 5; epoch 3 repeats the best value, 4 is invalid.
SCORES = {1: -3.0, 2: 4.0, 3: 4.0, 4: None, 5: 4.1, 6: 4.0, 7: 4.1, 8: 4.0}


def counter_of(limit_to_stop, limit=8):
    return EpochCounter(limit, limit_to_stop, limit_warmup=0, direction="max")


def run(counter):
    """Goes on until the counter ends; returns the epochs."""
    epochs = []
    for epoch in counter:
        epochs.append(epoch)
        if SCORES[epoch] is not None:
            counter.update_metric(SCORES[epoch])
    return epochs


@pytest.mark.parametrize(
    "limit_to_stop, last", [(1, 3), (2, 4), (3, 8), (4, 8), (8, 8)]
)
def test_it_stops_after_epochs_without_gain(limit_to_stop, last):
    assert run(counter_of(limit_to_stop)) == list(range(1, last + 1))


def test_epochs_that_are_never_valid_count():
    assert sum(1 for _ in counter_of(3)) == 3


@pytest.mark.parametrize("before, now, last", [(2, 2, 4), (2, 3, 8), (8, 2, 4)])
@pytest.mark.parametrize(
    "epoch, end_of_epoch", [(2, 1), (4, 1), (4, 0), (3, 0)]
)
def test_a_resume_decides_by_its_own_limit(
    tmp_path, before, now, last, epoch, end_of_epoch
):
    counter = counter_of(before)
    saver = Checkpointer(tmp_path, {"counter": counter})
    for current in counter:
        if current == epoch and not end_of_epoch:
            break
        if SCORES[current] is not None:
            counter.update_metric(SCORES[current])
        if current == epoch:
            break
    saver.save_checkpoint(end_of_epoch=bool(end_of_epoch))
    resumed = counter_of(now)
    Checkpointer(tmp_path, {"counter": resumed}).recover_if_possible()
    first = epoch + end_of_epoch
    assert run(resumed) == list(range(first, last + 1))


def test_a_training_that_has_stopped_goes_on_with_a_higher_limit(tmp_path):
    counter = counter_of(1)
    run(counter)
    assert counter.current == 3
    Checkpointer(tmp_path, {"counter": counter}).save_checkpoint()
    for limit, epochs in ((1, []), (3, [4, 5, 6, 7, 8])):
        resumed = counter_of(limit)
        Checkpointer(tmp_path, {"counter": resumed}).recover_if_possible()
        assert run(resumed) == epochs


@pytest.mark.parametrize("end_of_epoch, first", [(True, 4), (False, 3)])
def test_the_file_of_an_older_run_is_read(tmp_path, end_of_epoch, first):
    stock = StockCounter(8)
    stock.current = 3
    Checkpointer(tmp_path, {"counter": stock}).save_checkpoint(
        end_of_epoch=end_of_epoch
    )
    resumed = counter_of(2)
    Checkpointer(tmp_path, {"counter": resumed}).recover_if_possible()
    assert next(resumed) == first
    assert resumed.current - resumed.best_limit == 1


def test_nothing_of_a_file_is_executed(tmp_path):
    path = tmp_path / "counter.ckpt"
    path.write_text(f"!!python/object/apply:os.mkdir [{tmp_path / 'made'}]")
    with pytest.raises(yaml.YAMLError):
        counter_of(2)._recover(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None, True])
def test_bad_values_are_named(value):
    with pytest.raises(ValueError, match="^early_stopping_epochs: expected"):
        counter_of(value)


@pytest.mark.parametrize("value", [0, None, "2"])
def test_a_number_of_epochs_that_is_none_is_named(value):
    with pytest.raises(ValueError, match="^number_of_epochs: expected 1"):
        EpochCounter(value, value, limit_warmup=0, direction="max")
