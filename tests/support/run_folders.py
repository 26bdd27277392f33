"""What runs of train.py leave, read independently of them."""

import hashlib
import json
from pathlib import Path

import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.checksums import find_problem
from faults.actions import state_digest

PARTS = ("encoder", "masknet", "decoder")


def newest(folder):
    """The checkpoint from which a run would go on."""
    found = SafeCheckpointer(folder / "save").find_checkpoint()
    assert found is not None and not find_problem(found.path)
    return found.path


def weights(folder):
    """Name -> tensor of the newest checkpoint."""
    path = newest(folder)
    return {
        f"separator.{part}.{name}": value
        for part in PARTS
        for name, value in torch.load(path / f"{part}.ckpt").items()
    }


def digest(folder):
    """The sum of all tensors of the newest checkpoint."""
    optimizer = torch.load(newest(folder) / "optimizer.ckpt")
    return state_digest(weights(folder), optimizer)


def equal(folder, whole):
    """The same model, and the same scores of it."""
    scores = [(run / "test_scores.csv").read_bytes() for run in (folder, whole)]
    return digest(folder) == digest(whole) and scores[0] == scores[1]


def lines(folder, rank=None):
    """The trace of a folder's runs, or of one rank of them."""
    path = Path(f"{folder}.trace" + ("" if rank is None else f".{rank}"))
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def trace(folder, key, rank=None):
    """The lines of a trace for batches, steps, writes or validations."""
    return [line[key] for line in lines(folder, rank) if key in line]


def contents(folder):
    """Name -> hash of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
