"""Signals in a library: who listens when, and what is left afterwards."""

import queue
import signal
import threading

from reliability.training import signals as interruption
import pytest
import torch
from reliability.signals import workers_explained
from promises import HANDLERS, SIGNALS
from reliability.training import Reliable
from reliability.throughput import Watch

import speechbrain as sb


class Batch:
    """One number as a batch."""

    def __init__(self, items):
        self.values = torch.tensor([float(item) for item in items])
        self.mixture_id = [str(item) for item in items]

    def __len__(self):
        return len(self.values)


class ToyBrain(Reliable, Watch, sb.Brain):
    """Learns one number; calls ``at`` for each batch."""

    heard = ()

    def compute_forward(self, batch, stage):
        """Notes who would get a signal."""
        self.heard = [
            signal.getsignal(number) for number in interruption.SIGNALS
        ]
        self.at(stage, batch.mixture_id[0])
        return batch.values * self.modules.net.a

    def compute_objectives(self, predictions, batch, stage):
        """The mean."""
        return predictions.mean()

    def on_stage_start(self, stage, epoch=None):
        """Begins to watch."""
        if stage == sb.Stage.TRAIN:
            self.watch_start()


def former(number, frame):
    """Of the caller, for instance a notebook."""


@pytest.fixture(autouse=True)
def of_the_caller():
    """Its handlers, taken away at the end."""
    before = {
        number: signal.signal(number, former) for number in interruption.SIGNALS
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    """Whose handlers are installed."""
    return [signal.getsignal(number) for number in interruption.SIGNALS]


def toy(folder, at=lambda stage, name: None):
    """A Brain that has not yet learnt."""
    net = torch.nn.ParameterDict({"a": torch.zeros(())})
    counter = sb.utils.epoch_loop.EpochCounter(2)
    brain = ToyBrain(
        modules={"net": net},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        hparams={"seed": 1, "counter": counter},
        run_opts={"device": "cpu", "noprogressbar": True},
        checkpointer=sb.utils.checkpoints.Checkpointer(
            folder, {"net": net, "counter": counter}
        ),
    )
    brain.at = at
    return brain


def fit(brain):
    """Trains by 1 + 2 + 4 in each of 2 epochs."""
    brain.fit(
        brain.hparams.counter,
        [1, 2, 4],
        [8],
        train_loader_kwargs={"batch_size": 1, "collate_fn": Batch},
        valid_loader_kwargs={"batch_size": 1, "collate_fn": Batch},
    )
    return brain.modules.net["a"].item()


def evaluate(brain):
    """Tests."""
    loader = {"batch_size": 1, "collate_fn": Batch}
    return brain.evaluate([8, 9], test_loader_kwargs=loader)


@pytest.mark.promise(HANDLERS)
def test_handlers_are_as_before_after_training_and_test(tmp_path):
    brain = toy(tmp_path)
    assert fit(brain) == -14
    assert former not in brain.heard and handlers() == [former] * 3
    brain.heard = ()
    evaluate(brain)
    assert len(brain.heard) == 3 and former not in brain.heard
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("run", [fit, evaluate])
def test_handlers_are_as_before_after_an_error(tmp_path, run):
    def fail(stage, name):
        """A defect of the model."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(toy(tmp_path, fail))
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("number", interruption.SIGNALS)
@pytest.mark.parametrize("stage, name", [("TRAIN", "2"), ("VALID", "8")])
def test_an_interrupted_training_goes_on(tmp_path, number, stage, name):
    done = []

    def interrupt(at, batch):
        """Sends a signal, once."""
        if (at.name, batch) == (stage, name) and not done:
            done.append(at)
            signal.raise_signal(number)

    brain = toy(tmp_path, interrupt)
    with pytest.raises(SystemExit) as end:
        fit(brain)
    assert end.value.code == 128 + number
    assert handlers() == [former] * 3
    assert fit(brain) == -14
    # Another Brain, as in another process, finds nothing left to do.
    assert fit(toy(tmp_path)) == -14


@pytest.mark.promise(SIGNALS)
def test_a_signal_after_the_last_validation_ends_the_training(tmp_path):
    brain = toy(tmp_path)
    epochs = []

    def at_the_end(stage, loss, epoch=None):
        """Sends a signal when nothing is left to interrupt."""
        epochs.append(epoch)
        if epochs == [1, 1, 2, 2]:
            signal.raise_signal(signal.SIGTERM)

    brain.on_stage_end = at_the_end
    with pytest.raises(SystemExit) as end:
        fit(brain)
    assert end.value.code == 143 and brain.modules.net["a"].item() == -14


@pytest.mark.promise(SIGNALS)
def test_a_signal_ends_a_test(tmp_path):
    names = []

    def interrupt(stage, name):
        """Sends a signal, in the first of two batches."""
        names.append(name)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        evaluate(toy(tmp_path, interrupt))
    assert end.value.code == 143 and names == ["8"]
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
def test_a_thread_trains_without_listening(tmp_path):
    results = []
    brain = toy(tmp_path)
    thread = threading.Thread(
        target=lambda: results.extend([fit(brain), evaluate(brain)])
    )
    thread.start()
    thread.join()
    assert results[0] == -14
    assert list(brain.heard) == [former] * 3


def test_a_killed_worker_is_told_also_where_it_was_missed_first():
    """torch raises its error from that of the queue when time has run out."""
    with pytest.raises(RuntimeError, match=r"\(s\) 7\) exited.* --num_workers"):
        with workers_explained():
            try:
                raise queue.Empty
            except queue.Empty as error:
                text = "DataLoader worker (pid(s) 7) exited unexpectedly"
                raise RuntimeError(text) from error


def test_other_errors_are_left_as_they_are():
    with pytest.raises(ValueError, match="^a batch$"), workers_explained():
        raise ValueError("a batch") from KeyError("its cause")
