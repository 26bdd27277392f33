"""What goes wrong in a run of the fault tests, and the sums of its state."""

import hashlib
import os
import signal
import time

import torch


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
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    for number, values in sorted(optimizer["state"].items()):
        for name, value in sorted(values.items()):
            value = torch.as_tensor(value)
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


def spoil_gradient(brain, value):
    """Changes one number of the first gradient."""
    parameter = next(
        p for p in brain.modules.parameters() if p.grad is not None
    )
    parameter.grad.view(-1)[0] = value


def spoil_loss(method, brain, *arguments, **keywords):
    """Makes the loss of a batch NaN."""
    loss = method(brain, *arguments, **keywords)
    return loss * torch.nan if brain.modules.training else loss


# Name -> what happens before a method, which gets the method's arguments.
BEFORE = {
    "nan": lambda brain, *_, **__: spoil_gradient(brain, torch.nan),
    "inf": lambda brain, *_, **__: spoil_gradient(brain, torch.inf),
}
# Name -> what happens instead, which gets the method too.
INSTEAD = {"nan_loss": spoil_loss}


def with_fault(method, number, action):
    """A method before whose number-th call something happens."""
    calls = []

    def counted(*arguments, **keywords):
        """The method itself, and what happens before or to it."""
        calls.append(0)
        if number not in (0, len(calls)):
            return method(*arguments, **keywords)
        if action in INSTEAD:
            return INSTEAD[action](method, *arguments, **keywords)
        if action in BEFORE:
            BEFORE[action](*arguments, **keywords)
        else:
            send(action)
        return method(*arguments, **keywords)

    return counted
