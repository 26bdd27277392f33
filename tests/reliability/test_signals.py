"""Signals in a library: who listens when, and what is left afterwards."""

import errno
import logging
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from promises import HANDLERS, SIGNALS
from recipe import SEPARATION
from reliability.signals import (
    SIGNALS as NUMBERS,
    worker_errors,
)
from toys import At, evaluate, fit, toy

# A signal each millisecond, in the training of an LSTM on a CPU.
LSTM = """
import faulthandler, signal, torch
from reliability.signals import listening

faulthandler.disable()
heard = []
signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
lstm = torch.nn.LSTM(56, 32, batch_first=True, bidirectional=True)
with listening(print):
    signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
    for _ in range(40):
        lstm(torch.ones(208, 40, 56))[0].sum().backward()
    signal.setitimer(signal.ITIMER_REAL, 0)
assert heard
"""


def former(number, frame):
    """Handler of the caller, for instance a notebook."""


@pytest.fixture(autouse=True)
def of_the_caller():
    """Its handlers, which must be in place at the end, and are taken away."""
    before = {number: signal.signal(number, former) for number in NUMBERS}
    yield
    assert handlers() == [former] * 3
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    """Whose handlers are installed."""
    return [signal.getsignal(number) for number in NUMBERS]


def raise_it(error):
    """Raises an error."""
    raise error


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("in_thread", [False, True])
def test_only_a_main_thread_listens_in_training_and_test(tmp_path, in_thread):
    heard, results = [], []
    brain = toy(tmp_path, 2, lambda *_: heard.append(former in handlers()))

    def fit_and_test():
        """Trains for two epochs, and tests."""
        results.append(fit(brain))
        assert handlers() == [former] * 3
        evaluate(brain)

    if in_thread:
        thread = threading.Thread(target=fit_and_test)
        thread.start()
        thread.join()
    else:
        fit_and_test()
    assert results == [-14] and len(heard) == 2 * (4 + 2) + 3
    assert set(heard) == {in_thread}


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize("run", [fit, evaluate])
@pytest.mark.parametrize(
    "error, text",
    [
        (ZeroDivisionError("a defect"), "^a defect$"),
        (OSError(errno.ENOSPC, "full"), "cannot be written .*make room"),
        (RuntimeError("DataLoader worker (pid 7) is killed"), "--num_workers"),
    ],
)
def test_handlers_are_as_before_after_an_error(
    tmp_path, monkeypatch, run, error, text
):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    closed = []
    brain = toy(tmp_path, 2, lambda stage, name: raise_it(error))
    brain.hparams.scorer = SimpleNamespace(close=lambda: closed.append(1))
    with pytest.raises(type(error), match=text):
        run(brain)
    assert closed == ([1] if run is evaluate else [])


@pytest.mark.promise(HANDLERS)
@pytest.mark.parametrize(
    "name, number",
    [("id2", signal.SIGTERM), ("id8", signal.SIGUSR1), ("id4", signal.SIGINT)],
)
def test_an_interrupted_training_goes_on(tmp_path, name, number):
    at = At(name, lambda: signal.raise_signal(number))
    brain = toy(tmp_path, 2, at)
    with pytest.raises(SystemExit) as end:
        fit(brain)
    assert end.value.code == 128 + number
    assert at.seen["id1"] == 1 and at.seen["id4"] == (name != "id2")
    assert at.seen["id8"] == (name == "id8")
    assert fit(brain) == -14
    assert at.seen["id1"] == at.seen["id2"] == at.seen["id4"] == 2
    # Another Brain, as in another process, finds nothing left to do.
    assert fit(toy(tmp_path, 2)) == -14


@pytest.mark.promise(SIGNALS)
def test_a_window_is_finished_before_the_training_ends(tmp_path):
    at = At("id1", lambda: signal.raise_signal(signal.SIGTERM))
    brain = toy(tmp_path, 1, at, grad_accumulation_factor=2)
    with pytest.raises(SystemExit):
        fit(brain)
    assert brain.modules.net["a"].item() == -1.5 and at.seen["id4"] == 0
    assert fit(brain) == -1.5 - 4


@pytest.mark.promise(SIGNALS)
def test_a_signal_after_the_last_validation_ends_the_training(tmp_path):
    interrupt = partial(signal.raise_signal, signal.SIGTERM)
    brain = toy(tmp_path, 2, At("end of epoch 2", interrupt, number=2))
    with pytest.raises(SystemExit) as end:
        fit(brain)
    assert end.value.code == 143 and brain.modules.net["a"].item() == -14


@pytest.mark.promise(SIGNALS)
def test_a_signal_ends_a_test(tmp_path):
    at = At("id8", lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        evaluate(toy(tmp_path, 2, at))
    assert end.value.code == 143 and dict(at.seen) == {"id8": 1}


@pytest.mark.promise(SIGNALS)
def test_a_second_interrupt_does_not_wait(tmp_path):
    def interrupt_twice():
        """As Ctrl-C is pressed, but for another signal between."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)

    if (child := os.fork()) == 0:
        try:
            fit(toy(tmp_path, at=At("id2", interrupt_twice)))
        finally:
            os._exit(1)  # after all
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


class Ignored:
    """How many of the signals are ignored where a number is read."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return handlers().count(signal.SIG_IGN)


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_ignore_the_signals(tmp_path, workers):
    a = fit(toy(tmp_path), Ignored(), num_workers=workers)
    assert a == -2 * workers * len(NUMBERS)


def test_signals_do_no_harm_to_an_lstm():
    # Without a stack of their own they end it by a signal, mostly SIGABRT.
    subprocess.run(
        [sys.executable, "-c", LSTM],
        env={**os.environ, "PYTHONPATH": str(SEPARATION)},
        check=True,
    )


def broken_pipe():
    """The error of a connection whose other end is gone."""
    ours, others = multiprocessing.Pipe()
    others.close()
    ours.recv()


def missed_first():
    """torch raises its error from that of the queue when time has run out."""
    try:
        raise queue.Empty
    except queue.Empty as error:
        text = "DataLoader worker (pid(s) 7) exited unexpectedly"
        raise RuntimeError(text) from error


def in_a_save():
    """The error of the checkpointer, wherever torch heard of the worker."""
    text = "DataLoader worker (pid 7) is killed"
    raise OSError("a checkpoint cannot be written") from RuntimeError(text)


@pytest.mark.parametrize("fail", [broken_pipe, missed_first, in_a_save])
def test_a_killed_worker_is_told_however_torch_learns_of_it(fail):
    with pytest.raises(RuntimeError, match="was killed.* --num_workers"):
        with worker_errors():
            fail()


def test_other_errors_are_left_as_they_are():
    with pytest.raises(ValueError, match="^a batch$"), worker_errors():
        raise ValueError("a batch") from OSError("its cause")
