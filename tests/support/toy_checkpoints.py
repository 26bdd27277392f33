"""Checkpoints of a network whose weights are one number, and damages."""

import os

import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.random_state import RandomState

from speechbrain.utils.epoch_loop import EpochCounter

FILES = (
    "CKPT.yaml counter.ckpt network.ckpt optimizer.ckpt random.ckpt sha256.json"
).split()


def make(folder):
    """A checkpointer with recoverables of several kinds."""
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimizer.step()
    return SafeCheckpointer(
        folder,
        {
            "network": network,
            "optimizer": optimizer,
            "counter": EpochCounter(10),
            "random": RandomState(),
        },
    )


def save(saver, number, **options):
    """Saves a checkpoint named after the number, and deletes nothing."""
    saver.recoverables["network"].weight.data.fill_(number)
    options = {"meta": {"score": number}, **options}
    return saver.save_checkpoint(name=str(number), **options)


def keep(saver, number, **options):
    """Saves as the recipe does; deletes as it does at the end of an epoch."""
    saver.recoverables["network"].weight.data.fill_(number)
    options = {"max_keys": ["score"], **options}
    saver.save_and_keep_only(name=str(number), **options)


def loaded(folder, **options):
    """The number of the checkpoint from which a new process starts."""
    saver = make(folder)
    found = saver.recover_if_possible(**options)
    weight = saver.recoverables["network"].weight
    assert (weight == weight[0, 0]).all()
    assert found.path.name == f"CKPT+{weight[0, 0].item():g}"
    return weight[0, 0].item()


def names(folder):
    """Lists a folder."""
    return sorted(os.listdir(folder))


def flip(path):
    """Changes one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: -len(p.name)]),
    "emptied": lambda p: p.write_bytes(b""),
    "zeroed": lambda p: p.write_bytes(bytes(p.stat().st_size)),
    "deleted": lambda p: p.unlink(),
    "flipped": flip,
}
