"""The function of the data pipeline: reads a mixture and makes its variant.

All that is random here is a stateless function of (seed, epoch, mixture ID).

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
from functools import reduce

import numpy as np
import torch
from mmipc import FILE_COLUMNS, TASKS, VARIANTS, cancelled
from reading import read_packed, read_signal


def draw(seed, epoch, mixture_id, purpose):
    """A uniform number that depends on nothing but its arguments.

    The same draw results whatever the number of workers, the number of
    processes and the interruptions of a run.

    Arguments
    ---------
    seed : int
        Seed of the run.
    epoch : int
        Number of the epoch.
    mixture_id : str
        ID of the mixture.
    purpose : str
        What is drawn, so that draws for the same mixture are independent.

    Returns
    -------
    float
        In [0, 1).

    Example
    -------
    >>> round(draw(1234, 1, "abc", "variant"), 3)
    0.325
    """
    text = f"{purpose}|{seed}|{epoch}|{mixture_id}".encode()
    digest = hashlib.blake2b(text, digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def allowed_variants(variants, curriculum, epoch):
    """The variants from which an epoch draws.

    Arguments
    ---------
    variants : list of str
        What is drawn from where no stage of the curriculum has begun.
    curriculum : list of dict
        Stages {epoch, variants}; a stage holds until the next one begins.
        Empty or None for no curriculum.
    epoch : int
        Number of the epoch, from 1.

    Returns
    -------
    list of str
        In the order of VARIANTS, so that the draw does not depend on the order
        in which the YAML names them.

    Example
    -------
    >>> stages = [{"epoch": 3, "variants": ["S", "R"]}]
    >>> [allowed_variants(["SER"], stages, epoch) for epoch in (2, 3, 9)]
    [['SER'], ['R', 'S'], ['R', 'S']]
    """
    begun = [stage for stage in curriculum or [] if stage["epoch"] <= epoch]
    if begun:
        variants = max(begun, key=lambda stage: stage["epoch"])["variants"]
    return [v for v in VARIANTS if v in variants]


class Mixer:
    """Reads a mixture and its references and cancels what the variant lacks.

    This is the function of the data pipeline. It reads the mixture, the
    references and the files to be cancelled, and nothing else, or the packed
    file of the mixture.

    Arguments
    ---------
    task : str
        ES, EB or SB.
    variants : list of str
        The variants in use; each mixture takes one of those that it has.
    seed : int
        Seed of the draws of variant and crop.
    sample_rate : int
        Sample rate of the corpus in Hz.
    segment_seconds : float
        Length of the random crop in seconds; None for the whole mixture.
    curriculum : list of dict
        Stages {epoch, variants}; see ``allowed_variants``.

    Example
    -------
    >>> mixer = Mixer("ES", ["SER", "R"], seed=1, sample_rate=8000)
    >>> mixer.set_epoch(3)
    >>> mixer.candidates(["SER", "SR", "ER", "R"]), mixer.candidates(["SE"])
    (['SER', 'R'], [])
    >>> mixer.variant("mixture", ["SER", "SR", "ER", "R"])
    'SER'
    """

    files = FILE_COLUMNS + ("packed_wav",)
    takes = ("mixture_id", "setting", "variants", "duration") + files
    provides = ("variant", "mix_sig", "sources_sig")

    def __init__(
        self,
        task,
        variants,
        seed,
        sample_rate,
        segment_seconds=None,
        curriculum=None,
    ):
        self.task = task
        self.variants = variants
        self.seed = seed
        self.sample_rate = sample_rate
        self.segment_seconds = segment_seconds
        self.curriculum = curriculum
        # Persistent workers keep the copy of this object they were born with:
        # only shared memory tells them that a new epoch has begun.
        self.epoch = torch.ones(1, dtype=torch.long).share_memory_()

    def set_epoch(self, epoch):
        """Sets the epoch, for the workers of a data loader too.

        Arguments
        ---------
        epoch : int
            Number of the epoch, from 1.
        """
        self.epoch.fill_(epoch)

    def allowed(self, epoch):
        """The variants in use in an epoch, see ``allowed_variants``.

        Arguments
        ---------
        epoch : int
            Number of the epoch, from 1.

        Returns
        -------
        list of str
            In the order of VARIANTS.
        """
        return allowed_variants(self.variants, self.curriculum, epoch)

    def candidates(self, variants):
        """The variants between which a mixture has the choice in this epoch.

        Arguments
        ---------
        variants : list of str
            The variants which the mixture has.

        Returns
        -------
        list of str
            Empty when the present stage of the curriculum has none of them.
        """
        allowed = self.allowed(int(self.epoch))
        return [v for v in allowed if v in variants]

    def variant(self, mixture_id, variants):
        """The variant that a mixture takes in the present epoch.

        Arguments
        ---------
        mixture_id : str
            ID of the mixture.
        variants : list of str
            The variants which the mixture has.

        Returns
        -------
        str
            One of the candidates, uniformly drawn.
        """
        candidates = self.candidates(variants)
        position = draw(self.seed, int(self.epoch), mixture_id, "variant")
        return candidates[int(position * len(candidates))]

    def __call__(self, mixture_id, setting, variants, duration, *files):
        """Makes one item.

        Raises ValueError that names a file which cannot be used, see
        ``reading.read_signal``.

        Arguments
        ---------
        mixture_id : str
            ID of the mixture.
        setting : str
            indoor, outdoor or dry.
        variants : list of str
            The variants which the mixture has.
        duration : float
            Length of the mixture in seconds.
        *files : tuple of str
            The paths named by FILE_COLUMNS, and that of the packed file, which
            is empty or missing where nothing is packed.

        Returns
        -------
        variant : str
            The variant drawn.
        mix_sig : torch.Tensor
            The mixture, [time].
        sources_sig : torch.Tensor
            The references, [time, source].
        """
        paths = dict(zip(self.files, files))
        whole = round(duration * self.sample_rate)
        start, stop = self._span(mixture_id, whole)
        variant = self.variant(mixture_id, variants)
        removed = cancelled(variant, self.task, setting)
        needed = [c for columns in TASKS[self.task] for c in columns]
        # ES cancels a file that no reference needs, SB the other way round:
        # each file is read once.
        columns = list(dict.fromkeys(["mix_wav", *removed, *needed]))
        part = self.sample_rate, whole, start, stop
        signals = _read(mixture_id, paths, columns, part)
        # 16-bit samples and their sums are exact in float32.
        mixture = signals["mix_wav"]
        if removed:
            mixture = mixture - _added(signals, removed)
        groups = TASKS[self.task]
        # torch.stack takes five times as long.
        sources = np.empty((stop - start, len(groups)), np.float32)
        for number, group in enumerate(groups):
            sources[:, number] = _added(signals, group).numpy()
        return variant, mixture, torch.from_numpy(sources)

    def _span(self, mixture_id, whole):
        """The first sample to read and the one behind the last."""
        if self.segment_seconds is None:
            return 0, whole
        length = min(whole, round(self.segment_seconds * self.sample_rate))
        position = draw(self.seed, int(self.epoch), mixture_id, "crop")
        start = int(position * (whole - length + 1))
        return start, start + length


def _read(mixture_id, paths, columns, part):
    """Column -> signal, from a packed file or from one for each column."""
    packed = paths.get("packed_wav")
    if packed:
        channels = [column for column in FILE_COLUMNS if paths[column]]
        return read_packed(mixture_id, packed, channels, columns, *part)
    return {c: read_signal(mixture_id, paths[c], *part) for c in columns}


def _added(signals, columns):
    return reduce(torch.add, (signals[column] for column in columns))
