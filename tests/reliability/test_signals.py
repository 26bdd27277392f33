"""Signals in a library: who listens when, and what is left afterwards."""

import queue
import signal
import threading

import pytest
from promises import HANDLERS, SIGNALS
from reliability.signals import (
    SIGNALS as NUMBERS,
    worker_errors,
)
from toy_brain import LOADER, fit, toy


def former(number, frame):
    """Handler of the caller, for instance a notebook."""


@pytest.fixture(autouse=True)
def of_the_caller():
    """Its handlers, taken away at the end."""
    before = {number: signal.signal(number, former) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    """Whose handlers are installed."""
    return [signal.getsignal(number) for number in NUMBERS]


class Listener:
    """Notes who would get a signal at each batch."""

    heard = ()

    def __call__(self, stage, name):
        """Called before each batch."""
        self.heard = handlers()


def evaluate(brain):
    """Tests."""
    return brain.evaluate([8, 9], test_loader_kwargs={**LOADER})


@pytest.mark.promise(HANDLERS)
def test_handlers_are_as_before_after_training_and_test(tmp_path):
    listener = Listener()
    brain = toy(tmp_path, 2, listener)
    assert fit(brain) == -14
    assert former not in listener.heard and handlers() == [former] * 3
    listener.heard = ()
    evaluate(brain)
    assert len(listener.heard) == 3 and former not in listener.heard
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("run", [fit, evaluate])
def test_handlers_are_as_before_after_an_error(tmp_path, run):
    def fail(stage, name):
        """A defect of the model."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(toy(tmp_path, 2, fail))
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("stage, name", [("TRAIN", "id2"), ("VALID", "id8")])
def test_an_interrupted_training_goes_on(tmp_path, number, stage, name):
    done = []

    def interrupt(at, batch):
        """Sends a signal, once."""
        if (at.name, batch) == (stage, name) and not done:
            done.append(at)
            signal.raise_signal(number)

    brain = toy(tmp_path, 2, interrupt)
    with pytest.raises(SystemExit) as end:
        fit(brain)
    assert end.value.code == 128 + number
    assert handlers() == [former] * 3
    assert fit(brain) == -14
    # Another Brain, as in another process, finds nothing left to do.
    assert fit(toy(tmp_path, 2)) == -14


@pytest.mark.promise(SIGNALS)
def test_a_signal_after_the_last_validation_ends_the_training(tmp_path):
    brain = toy(tmp_path, 2)
    epochs, of_toy = [], brain.on_stage_end

    def at_the_end(stage, loss, epoch=None):
        """Sends a signal when nothing is left to interrupt."""
        of_toy(stage, loss, epoch)
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
        evaluate(toy(tmp_path, 2, interrupt))
    assert end.value.code == 143 and names == ["id8"]
    assert handlers() == [former] * 3


@pytest.mark.promise(HANDLERS)
def test_a_thread_trains_without_listening(tmp_path):
    results, listener = [], Listener()
    brain = toy(tmp_path, 2, listener)
    thread = threading.Thread(
        target=lambda: results.extend([fit(brain), evaluate(brain)])
    )
    thread.start()
    thread.join()
    assert results[0] == -14
    assert listener.heard == [former] * 3


def test_a_killed_worker_is_told_also_where_it_was_missed_first():
    """torch raises its error from that of the queue when time has run out."""
    with pytest.raises(RuntimeError, match=r"\(s\) 7\) exited.* --num_workers"):
        with worker_errors():
            try:
                raise queue.Empty
            except queue.Empty as error:
                text = "DataLoader worker (pid(s) 7) exited unexpectedly"
                raise RuntimeError(text) from error


def test_other_errors_are_left_as_they_are():
    with pytest.raises(ValueError, match="^a batch$"), worker_errors():
        raise ValueError("a batch") from KeyError("its cause")
