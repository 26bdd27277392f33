"""What runs of train.py leave, read independently of them."""

import hashlib
import json
from pathlib import Path

import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.checksums import find_problem
from faults.actions import state_digest


def newest(folder):
    """The checkpoint from which a run would go on."""
    found = SafeCheckpointer(folder / "save").find_checkpoint()
    assert found is not None and not find_problem(found.path)
    return found.path


def weights(folder):
    path = newest(folder)
    return {
        f"separator.{part}.{name}": value
        for part in ("encoder", "masknet", "decoder", "network")
        if (path / f"{part}.ckpt").exists()
        for name, value in torch.load(path / f"{part}.ckpt").items()
    }


def digest(folder):
    """Hash of what a resume trains: weights, and the state of the optimizer."""
    path = newest(folder)
    found, optimizer = weights(folder), torch.load(path / "optimizer.ckpt")
    if (path / "ema.ckpt").exists():
        average = torch.load(path / "ema.ckpt")
        if average["is_swapped"]:  # the weights beside it are the average
            trained = average["weights"].items()
            found |= {f"separator.{name}": value for name, value in trained}
    return state_digest(found, optimizer)


def equal(folder, whole):
    """The same model, trained and averaged, and the same scores of it."""
    scores = [(run / "test_scores.csv").read_bytes() for run in (folder, whole)]
    return (
        digest(folder) == digest(whole)
        and torch.equal(all_weights(folder), all_weights(whole))
        and scores[0] == scores[1]
    )


def lines(folder, rank=None):
    """The trace of a folder's runs, or of one rank of them."""
    path = Path(f"{folder}.trace" + ("" if rank is None else f".{rank}"))
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def trace(folder, key, rank=None):
    """The lines of a trace for batches, steps, writes or validations."""
    return [line[key] for line in lines(folder, rank) if key in line]


def contents(folder):
    return {
        f"{path.relative_to(folder)}": hashlib.sha256(
            path.read_bytes()
        ).digest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def both(folder, key):
    """Reads the traces of two ranks, in pairs."""
    pair = [trace(folder, key, rank) for rank in (0, 1)]
    return list(zip(*pair, strict=True))


def mixtures(batch):
    """Epoch, and the mixtures with their variants, of a line of batches."""
    epoch, _, *names = batch
    half = len(names) // 2
    return epoch, set(zip(names[:half], names[half:]))


def unions(folder):
    """The mixtures of the batches of two processes together."""
    found = []
    for pair in both(folder, "batch"):
        (epoch, first), (other, second) = map(mixtures, pair)
        assert epoch == other and not first & second
        found.append((epoch, first | second))
    return found


def all_weights(folder):
    """All weights of the newest checkpoint, in one tensor."""
    return torch.cat([t.flatten() for t in weights(folder).values()])
