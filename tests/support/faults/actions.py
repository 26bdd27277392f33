"""Faults in runs of the fault tests, and checksums of the state of a run."""

import hashlib
import multiprocessing
import os
import signal
import time
from functools import partial

import torch

import speechbrain as sb
from faults.broken_files import CHANGES
from faults.pipelines import ACTIONS


def digest_of(brain):
    """The sum of a Brain's weights and of the state of its optimizer."""
    return state_digest(brain.modules.state_dict(), brain.optimizer)


def state_digest(weights, optimizer):
    """The sum of weights, by name, and of an optimizer's tensors.

    Arguments
    ---------
    weights : dict
        Name -> tensor.
    optimizer : torch.optim.Optimizer or dict
        Or what its state_dict returns.

    Returns
    -------
    str
        Hexadecimal.
    """
    if not isinstance(optimizer, dict):
        optimizer = optimizer.state_dict()
    digest = hashlib.sha256()
    # As if no module were wrapped for several processes.
    weights = {n.replace(".module.", "."): t for n, t in weights.items()}
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    for number, values in sorted(optimizer["state"].items()):
        for name, value in sorted(values.items()):
            value = torch.as_tensor(value).cpu()
            digest.update(f"{number}.{name}".encode() + value.numpy().tobytes())
    return digest.hexdigest()


def send(action):
    """Sends a signal to this process, or to its group."""
    kind, _, name = action.rpartition(":")
    number = getattr(signal, name)
    for _ in range(2 if kind == "twice" else 1):
        if kind == "group":
            os.killpg(0, number)
        else:
            os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        time.sleep(10)


def signal_torchrun(brain, action):
    """Sends a signal to torchrun, which signals all processes; waits for it."""
    os.kill(os.getppid(), getattr(signal, action.rpartition(":")[2]))
    while brain.interrupted_by is None:
        time.sleep(0.01)


def fail():
    """Raises an error that no code expects."""
    raise RuntimeError("a fault of one process")


def spoil_gradient(brain, value):
    """Changes one number of the first gradient."""
    parameter = next(
        p for p in brain.modules.parameters() if p.grad is not None
    )
    parameter.grad.view(-1)[0] = value


def spoil_loss(method, brain, *arguments, value=torch.nan, **keywords):
    """Makes the loss of a batch NaN, or infinite with finite gradients."""
    loss = method(brain, *arguments, **keywords)
    if not brain.modules.training:
        return loss
    return loss * value if value != value else loss + value


def stock_step(method, brain):
    """Makes a step with an infinite gradient as SpeechBrain does."""
    spoil_gradient(brain, torch.inf)
    sb.Brain.optimizers_step(brain)


def spoil_input(value, brain, batch, *_, **__):
    """Changes one sample of a mixture that was read for the training."""
    if brain.modules.training:
        batch.mix_sig.data[0, 0] = value


def add_scaler(brain):
    """Scales the loss as in fp16, for which Brain wants a GPU."""
    brain.scaler = torch.amp.GradScaler("cpu")
    brain.checkpointer.add_recoverable("scaler", brain.scaler)


def spoil_weights(brain):
    """Changes one weight."""
    next(brain.modules.parameters()).data.view(-1)[0] = torch.nan


def spoil_scores(brain, count=None):
    """Makes the scores of a validation NaN, or the first ones."""
    for row in brain.valid_rows[:count]:
        row["si_sdri"] = float("nan")


def kill_worker():
    """Kills a worker of a data loader, as the system does without memory."""
    multiprocessing.active_children()[0].kill()
    time.sleep(2)  # torch hears of it, and breaks this off


def kill_scoring(brain):
    """Kills a process that computes metrics, once there is one."""
    if brain.hparams.scorer.pool:
        processes = brain.hparams.scorer.pool._processes
        os.kill(next(iter(processes)), signal.SIGKILL)


# Name -> what happens before a method, which gets the method's arguments.
BEFORE = {
    "nan": lambda brain, *_, **__: spoil_gradient(brain, torch.nan),
    "inf": lambda brain, *_, **__: spoil_gradient(brain, torch.inf),
    "one": lambda brain, *_, **__: spoil_gradient(brain, 1.0),
    "raise": lambda *_, **__: fail(),
    "hang": lambda *_, **__: time.sleep(600),
    "nan_input": partial(spoil_input, torch.nan),
    "inf_input": partial(spoil_input, torch.inf),
    "scaler": lambda brain, *_, **__: add_scaler(brain),
    "nan_weights": lambda brain, *_, **__: spoil_weights(brain),
    "nan_scores": lambda brain, *_, **__: spoil_scores(brain),
    "nan_score": lambda brain, *_, **__: spoil_scores(brain, 1),
    "kill_worker": lambda *_, **__: kill_worker(),
    "kill_scoring": lambda brain, *_, **__: kill_scoring(brain),
}
# Name -> what happens instead, which gets the method too.
INSTEAD = {
    "nan_loss": spoil_loss,
    "stock_inf": stock_step,
    "inf_loss": partial(spoil_loss, value=torch.inf),
    "nothing": lambda *_, **__: None,
    **ACTIONS,
}


def with_fault(method, number, action, strike):
    """A method before whose number-th call something happens.

    Arguments
    ---------
    method : callable
        A function, or a method of a class.
    number : int
        0: before each call.
    action : str
        See install.py.
    strike : callable
        Called just before it happens.

    Returns
    -------
    callable
        In the place of the method.
    """
    calls = []

    def counted(*arguments, **keywords):
        """The method itself, and what happens before or to it."""
        calls.append(0)
        if number not in (0, len(calls)):
            return method(*arguments, **keywords)
        strike()
        change, _, path = action.partition("=")
        if path:
            CHANGES[change](path)
            return method(*arguments, **keywords)
        if action in INSTEAD:
            return INSTEAD[action](method, *arguments, **keywords)
        if action in BEFORE:
            BEFORE[action](*arguments, **keywords)
        elif action.startswith("torchrun:"):
            signal_torchrun(arguments[0], action)
        else:
            send(action)
        return method(*arguments, **keywords)

    return counted
