"""What runs of train.py as two processes leave."""

import torch
from run_folders import trace, weights


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
