"""RNG states: of a training, and of the items of its data pipeline.

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
    """The RNG states of Python, numpy, torch and CUDA, of each rank.

    SpeechBrain saves none of them, so that dropout, for instance, draws other
    numbers after a resume.

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
        """Saves the states of this rank.

        Arguments
        ---------
        path : str
            File of the first rank; other ranks append their number.
        """
        name, *numpy_state = np.random.get_state()
        used_cuda = torch.cuda.is_initialized()
        state = {
            "python": random.getstate(),
            "numpy": [name, *(np.asarray(p).tolist() for p in numpy_state)],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if used_cuda else None,
        }
        torch.save(state, _path_of_rank(path))

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads the states of this rank.

        Arguments
        ---------
        path : str
            File of the first rank.
        end_of_epoch : bool
            Not used.
        """
        path = _path_of_rank(path)
        if not os.path.exists(path):
            logger.warning(
                f"{path} is missing: the training had fewer ranks, so this one "
                "keeps the RNG states that it has"
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
    """Seeds Python, numpy and torch on the CPU; restores their states at exit.

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
    """A dataset that seeds the generators for each item.

    The seed is drawn from seed, epoch and ID. So augmentation that a user adds
    to the pipeline does not depend on the worker that runs it, nor on a resume,
    and leaves alone what the model draws. Seed and epoch are those of the
    ``mixtures.Mixer`` in the pipeline.

    Example
    -------
    >>> row = dict.fromkeys(Mixer.takes)
    >>> dataset = SeededDataset({"a": row, "b": row})
    >>> mixer = Mixer("ES", ["SER"], seed=1, sample_rate=8000)
    >>> dataset.add_dynamic_item(mixer, mixer.takes, mixer.provides)
    >>> dataset.add_dynamic_item(lambda _: random.random(), "id", "drawn")
    >>> dataset.set_output_keys(["drawn"])
    >>> dataset[0] == dataset[0], dataset[0] == dataset[1]
    (True, False)
    """

    def __init__(self, data, *arguments, **keywords):
        # Of few mixtures a rank may have none; the parent reads keys from one.
        example = {"": dict.fromkeys((*Mixer.takes, "save_audio"))}
        super().__init__(data or example, *arguments, **keywords)
        if not data:
            self.data_ids = []

    def add_dynamic_item(self, func, takes=None, provides=None):
        """Adds a function, see the parent; a mixer that asks has the rows."""
        super().add_dynamic_item(func, takes, provides)
        if hasattr(func, "set_rows"):
            func.set_rows(self.data)

    def __getitem__(self, index):
        functions = [item.func for item in self.pipeline.dynamic_items]
        if all(map(_draws_by_id, functions)):
            return super().__getitem__(index)
        mixers = [f for f in functions if isinstance(f, Mixer)]
        if not mixers:
            raise ValueError(
                "SeededDataset: expected a mixtures.Mixer among the dynamic "
                "items, for seed and epoch, found none"
            )
        seed, epoch = mixers[0].seed, int(mixers[0].epoch)
        drawn = draw(seed, epoch, self.data_ids[index], "item")
        with seeded(int(drawn * 2**32)):
            return super().__getitem__(index)


def _draws_by_id(function):
    """Says whether a function of the pipeline leaves the generators alone.

    Mixers do, and classes that say so themselves; a subclass may draw.
    """
    kind = type(function)
    return kind is Mixer or vars(kind).get("draws_by_id", False)


def _path_of_rank(path):
    # SLURM also numbers processes that are not ranks of one run.
    rank = get_rank() if is_distributed_initialized() else 0
    return str(path) if rank == 0 else f"{path}.{rank}"
