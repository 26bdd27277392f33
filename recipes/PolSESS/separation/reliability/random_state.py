"""The random state of a training, and of the items of its data pipeline.

Authors
 * The PolSESS recipe team 2026
"""

import os
import random
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from mixtures import Mixer, draw

from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import get_rank, is_distributed_initialized
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


@partial(register_checkpoint_hooks, save_on_main_only=False)
class RandomState:
    """The random state of Python, numpy, torch and CUDA, of each process.

    SpeechBrain saves none of it, so that after a resume whatever is drawn in
    training, for instance by dropout, is drawn anew.

    Example
    -------
    >>> state, path = RandomState(), getfixture("tmpdir").join("random.ckpt")
    >>> state.save(path)
    >>> drawn = random.random(), np.random.rand(), torch.rand(1)
    >>> state.load(path, end_of_epoch=True)
    >>> (random.random(), np.random.rand(), torch.rand(1)) == drawn
    True
    """

    @mark_as_saver
    def save(self, path):
        """Saves the state of this process beside those of the others.

        Arguments
        ---------
        path : str
            Of the first process; others add their number.
        """
        name, *numpy_state = np.random.get_state()
        state = {
            "python": random.getstate(),
            "numpy": [name, *(np.asarray(p).tolist() for p in numpy_state)],
            "torch": torch.get_rng_state(),
            "cuda": _cuda_state(),
        }
        torch.save(state, _of_this_process(path))

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads the state of this process.

        Arguments
        ---------
        path : str
            Of the first process.
        end_of_epoch : bool
            Not used.
        """
        path = _of_this_process(path)
        if not os.path.exists(path):
            logger.warning(
                f"{path} is missing: the training had fewer processes, so "
                "random numbers begin anew"
            )
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        np.random.set_state(state["numpy"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def seeded(number):
    """Seeds the generators of Python, numpy and torch for a while.

    Those of CUDA stay as they are.

    Arguments
    ---------
    number : int
        The seed, below 2^32.

    Example
    -------
    >>> with seeded(1):
    ...     first = random.random()
    >>> outside = random.random()
    >>> with seeded(1):
    ...     second = random.random()
    >>> first == second, first == outside
    (True, False)
    """
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


class SeededDataset(DynamicItemDataset):
    """A dataset whose items draw by (seed, epoch, ID) and nothing else.

    What a worker of a data loader draws otherwise depends on the items which
    it made before, so that augmentation in the pipeline differs after a resume
    and with another number of workers. Without workers it would change what
    the model draws.

    Arguments
    ---------
    data : dict
        See the parent.
    mixer : mixer.Mixer
        Holds seed and epoch; ``mixer.set_epoch`` moves the draws on.

    Example
    -------
    >>> from mixtures import Mixer
    >>> mixer = Mixer("ES", ["SER"], seed=1, sample_rate=8000)
    >>> dataset = SeededDataset({"a": {}, "b": {}}, mixer)
    >>> dataset.add_dynamic_item(lambda _: random.random(), "id", "drawn")
    >>> dataset.set_output_keys(["drawn"])
    >>> dataset[0] == dataset[0], dataset[0] == dataset[1]
    (True, False)
    """

    def __init__(self, data, mixer):
        super().__init__(data)
        self.mixer = mixer

    def __getitem__(self, index):
        items = self.pipeline.dynamic_items
        if all(type(item.func) is Mixer for item in items):
            # It draws from no generator: without augmentation, seeding them
            # would be in vain.
            return super().__getitem__(index)
        seed, epoch = self.mixer.seed, int(self.mixer.epoch)
        drawn = draw(seed, epoch, self.data_ids[index], "item")
        with seeded(int(drawn * 2**32)):
            return super().__getitem__(index)


def _cuda_state():
    """That of the GPU of this process; others are not touched."""
    used = torch.cuda.is_initialized()
    return torch.cuda.get_rng_state() if used else None


def _of_this_process(path):
    # SLURM numbers processes that know nothing of one another, too.
    rank = get_rank() if is_distributed_initialized() else 0
    return str(path) if rank == 0 else f"{path}.{rank}"
