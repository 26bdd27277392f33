"""A numpy value in the meta of a checkpoint makes every later start fail.

Scores are often means that numpy computed. Saved as meta, they go into CKPT.yaml
as objects, which the next start refuses to read.

> python numpy_in_checkpoint_meta.py

It exits with 1 where the checkpoint cannot be listed, with 0 otherwise.

Authors
 * The PolSESS recipe team 2026
"""

import sys
import tempfile

import numpy as np
import torch

from speechbrain.utils.checkpoints import Checkpointer


def saved(folder):
    """Saves a checkpoint with a mean of two scores."""
    checkpointer = Checkpointer(folder, {"model": torch.nn.Linear(1, 1)})
    checkpointer.save_checkpoint(meta={"score": np.mean([1.0, 2.0])})


def start_again(folder):
    """What a new process does first; returns the error."""
    checkpointer = Checkpointer(folder, {"model": torch.nn.Linear(1, 1)})
    try:
        checkpointer.recover_if_possible(max_key="score")
    except Exception as error:
        return error
    return None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        saved(place)
        failure = start_again(place)
    text = str(failure).splitlines()[0] if failure else "none"
    print(f"error of the next start: {type(failure).__name__}: {text}")
    sys.exit(failure is not None)
