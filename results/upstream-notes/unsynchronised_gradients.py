"""A network that is called outside self.modules is not synchronised by DDP.

Two gloo processes make three steps on different data, once calling the network
as ``self.hparams.model``, as the separation recipes of SpeechBrain do, and once
as ``self.modules.model``. Afterwards their weights should be the same.

> python unsynchronised_gradients.py

It exits with 1 where the weights differ, with 0 where they do not.

Authors
 * The PolSESS recipe team 2026
"""

import os
import socket
import sys
import tempfile

import torch

import speechbrain as sb

RUN_OPTS = {"device": "cpu", "distributed_backend": "gloo"}
WAYS = ("hparams", "modules")


class Brain(sb.Brain):
    """Fits a linear layer, called in one way or the other."""

    def compute_forward(self, batch, stage):
        """Calls the same network, by ``hparams`` or by ``modules``."""
        return getattr(self, self.hparams.called_by).model(batch)

    def compute_objectives(self, predictions, batch, stage):
        """The mean square of the output."""
        return predictions.square().mean()


def weights_after(called_by, rank):
    """Weights of this process after three steps on its own data."""
    torch.manual_seed(0)  # the same first weights
    model = torch.nn.Linear(8, 1)
    brain = Brain(
        modules={"model": model},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        hparams={"model": model, "called_by": called_by},
        run_opts=RUN_OPTS,
    )
    generator = torch.Generator().manual_seed(rank)
    batches = list(torch.randn(3, 4, 8, generator=generator))
    brain.fit(range(1), batches, progressbar=False)
    return model.weight.detach()


def process(rank, port, folder):
    """Trains in both ways and writes the weights to a file.

    Arguments
    ---------
    rank : int
        Number of this process.
    port : int
        At which the processes meet.
    folder : str
        Where the weights go.
    """
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2"
    )
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    sb.utils.distributed.ddp_init_group(RUN_OPTS)
    weights = {way: weights_after(way, rank) for way in WAYS}
    torch.save(weights, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        torch.multiprocessing.spawn(process, (port, place), nprocs=2)
        first, second = (torch.load(f"{place}/{rank}.pt") for rank in (0, 1))
    found = {way: (first[way] - second[way]).abs().max() for way in WAYS}
    for way, size in found.items():
        print(f"called as self.{way}.model: weights differ by {size:.3f}")
    sys.exit(bool(found["hparams"] > 1e-6))
