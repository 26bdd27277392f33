"""Augmentation, what its randomness rests on, and what a run takes up."""

import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

import numpy as np
import torch

from speechbrain.dataio.dataset import DynamicItemDataset


def augmented(mixture):
    """Scales and adds noise, as a user might, by three generators."""
    scale = random.uniform(0.8, 1.2) * np.random.uniform(0.8, 1.2)
    return scale * mixture + 0.01 * torch.randn_like(mixture)


def augment(method, dataset, keys):
    """Lets a pipeline add noise to each mixture, before its keys are set."""
    dataset.add_dynamic_item(augmented, "mix_sig", "augmented_sig")
    method(dataset, {**{key: key for key in keys}, "mix_sig": "augmented_sig"})


def augment_unseeded(method, dataset, keys):
    """The same with SpeechBrain's own dataset."""
    dataset.__class__ = DynamicItemDataset
    augment(method, dataset, keys)


def leave_out_random(method, checkpointer, name, *arguments, **keywords):
    """Neither saves nor loads the random state."""
    if name != "random":
        method(checkpointer, name, *arguments, **keywords)


def stock_generator(method, brain, *arguments, **keywords):
    """Makes a data loader that draws from the global generator."""
    return method(brain, *arguments, **keywords, generator=None)


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
            "epoch": brain.hparams.epoch_counter.current,
        }
        with open(f"{folder}.samples", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        signal.alarm(60)  # it does not hang, so its limit begins again
    return method(brain, batch)


def leak(method, brain, batch):
    """Keeps memory and a file with each step."""
    brain.kept = getattr(brain, "kept", [])
    brain.kept.append((np.ones(2**15), os.dup(0)))
    return method(brain, batch)


# Name -> what happens instead of a method, which gets the method too.
ACTIONS = {
    function.__name__: function
    for function in (
        augment,
        augment_unseeded,
        leave_out_random,
        stock_generator,
        sample,
        leak,
    )
}
