"""Faults of a run, and checksums of its weights and optimizer."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

import speechbrain as sb
from faults.broken_files import CHANGES


def state_digest(weights, optimizer):
    """The sum of weights and of what an optimizer's state_dict returns."""
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
    """Sends a signal to this process or to its group."""
    kind, _, name = action.rpartition(":")
    number = getattr(signal, name)
    if kind == "group":
        os.killpg(0, number)
    else:
        os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        time.sleep(10)


def signal_torchrun(action, brain, *_, **__):
    """Sends a signal to torchrun, which signals all processes; waits for it."""
    os.kill(os.getppid(), getattr(signal, action.rpartition(":")[2]))
    while brain.interrupted_by is None:
        time.sleep(0.01)


def fail(*_, **__):
    raise RuntimeError("a fault of one process")


def spoil_gradient(value, brain, *_):
    parameters = brain.modules.parameters()
    next(p for p in parameters if p.grad is not None).grad.view(-1)[0] = value


def spoil_loss(value, method, brain, *arguments, **keywords):
    """Makes the loss of a batch NaN, or infinite with finite gradients."""
    loss = method(brain, *arguments, **keywords)
    if not brain.modules.training:
        return loss
    return loss * value if value != value else loss + value


def stock_step(method, brain):
    """Makes a step with an infinite gradient as SpeechBrain does."""
    spoil_gradient(torch.inf, brain)
    sb.Brain.optimizers_step(brain)


def spoil_weights(brain, *_, **__):
    next(brain.modules.parameters()).data.view(-1)[0] = torch.nan


def spoil_scores(count, brain, *_, **__):
    """Makes the first scores of a validation NaN, or all of them."""
    for row in brain.valid_rows[:count]:
        row["si_sdri"] = float("nan")


def kill_worker(*_, **__):
    """Kills a worker of a data loader, as the system does without memory."""
    multiprocessing.active_children()[0].kill()
    time.sleep(2)  # torch hears of it, and breaks this off


def kill_scoring(brain, *_, **__):
    processes = brain.hparams.scorer.pool._processes
    os.kill(next(iter(processes)), signal.SIGKILL)


def augmented(mixture):
    """Scales and adds noise, as a user might, by three generators."""
    scale = random.uniform(0.8, 1.2) * np.random.uniform(0.8, 1.2)
    return scale * mixture + 0.01 * torch.randn_like(mixture)


def augment(method, dataset, keys):
    """Lets a pipeline add noise to each mixture, before its keys are set."""
    dataset.add_dynamic_item(augmented, "mix_sig", "augmented_sig")
    method(dataset, {**{key: key for key in keys}, "mix_sig": "augmented_sig"})


def sample(method, brain, batch):
    """Writes what the run takes up, before each 10th step."""
    brain.sampled = getattr(brain, "sampled", 0) + 1
    if brain.sampled % 10 == 0:
        status = Path("/proc/self/status").read_text().split("VmRSS:")[1]
        folder = Path(brain.hparams.output_folder)
        line = {
            "kilobytes": int(status.split()[0]),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "processes": len(multiprocessing.active_children()),
            "checkpoints": len(list((folder / "save").glob("*CKPT*"))),
        }
        with open(f"{folder}.samples", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        signal.alarm(60)  # it does not hang, so its limit begins again
    return method(brain, batch)


def leak(method, brain, batch):
    brain.kept = getattr(brain, "kept", [])
    brain.kept.append((np.ones(2**15), os.dup(0)))
    return method(brain, batch)


# Name -> what happens before a method, which gets the method's arguments.
BEFORE = {
    "nan": partial(spoil_gradient, torch.nan),
    "inf": partial(spoil_gradient, torch.inf),
    "one": partial(spoil_gradient, 1.0),
    "raise": fail,
    "nan_weights": spoil_weights,
    "nan_scores": partial(spoil_scores, None),
    "nan_score": partial(spoil_scores, 1),
    "kill_worker": kill_worker,
    "kill_scoring": kill_scoring,
}
# Name -> what happens instead, which gets the method too.
INSTEAD = {
    "nan_loss": partial(spoil_loss, torch.nan),
    "inf_loss": partial(spoil_loss, torch.inf),
    "stock_inf": stock_step,
    "augment": augment,
    "sample": sample,
    "leak": leak,
}


def with_fault(method, number, action, strike):
    """A method before whose number-th call (0: each) an action happens.

    ``strike`` is called just before; see install.py for the actions.
    """
    calls = []
    change, _, path = action.partition("=")
    if path:
        before = lambda *_, **__: CHANGES[change](path)  # noqa: E731
    elif action.startswith("torchrun:"):
        before = partial(signal_torchrun, action)
    else:
        before = BEFORE.get(action, lambda *_, **__: send(action))

    def counted(*arguments, **keywords):
        calls.append(0)
        if number not in (0, len(calls)):
            return method(*arguments, **keywords)
        strike()
        if action in INSTEAD:
            return INSTEAD[action](method, *arguments, **keywords)
        before(*arguments, **keywords)
        return method(*arguments, **keywords)

    return counted
