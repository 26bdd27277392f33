"""MM-IPC: mix modification by inverted phase cancellation.

A PolSESS mixture is stored together with each of its components. Adding a
component in opposite phase removes it, so that one stored mixture becomes
several: a variant is named by the letters of what it KEEPS, S the scene, E the
event, R the reverberation of the speakers, C none of them (clean speech).
Only the files that are cancelled have to be read.

From: M. Klec, K. Szklanny, A. Wieczorkowska, "A Solution for Developing
Corpora for Polish Speech Enhancement in Complex Acoustic Environments", 2024.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib

import torch
from prepare_polsess import VARIANT_SETTINGS

from speechbrain.dataio.dataio import read_audio

VARIANTS = tuple(VARIANT_SETTINGS)

# What each letter keeps, as columns of the manifest. The reverberation of the
# event belongs to the event: it is heard, and cancelled, with it.
COMPONENTS = {
    "S": ("scene_wav",),
    "E": ("event_wav", "event_reverb_wav"),
    "R": ("s1_reverb_wav", "s2_reverb_wav"),
}
FILE_COLUMNS = (
    "mix_wav",
    "s1_wav",
    "s2_wav",
    "scene_wav",
    "event_wav",
    "s1_reverb_wav",
    "s2_reverb_wav",
    "event_reverb_wav",
)
# A task is the list of its references; each is a sum of dry speakers.
# ES, enhance single; EB, enhance both; SB, separate both.
TASKS = {
    "ES": (("s1_wav",),),
    "EB": (("s1_wav", "s2_wav"),),
    "SB": (("s1_wav",), ("s2_wav",)),
}


def check_task(task):
    """Raises ValueError unless the task is one of ES, EB and SB.

    Arguments
    ---------
    task : str
        The name of the task.
    """
    if task not in TASKS:
        raise ValueError(
            f"task: expected one of {', '.join(TASKS)}, found {task!r}"
        )


def num_outputs(task):
    """How many sources the model of a task estimates.

    Raises ValueError when the task is unknown.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    int
        1 or 2.

    Example
    -------
    >>> [num_outputs(task) for task in ("ES", "EB", "SB")]
    [1, 1, 2]
    """
    check_task(task)
    return len(TASKS[task])


def source_names(task):
    """The names of a task's sources, as they stand in test_scores.csv.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    list of str
        One name for each output of the model.

    Example
    -------
    >>> source_names("EB"), source_names("SB")
    (['s1+s2'], ['s1', 's2'])
    """
    return [
        "+".join(column[: -len("_wav")] for column in columns)
        for columns in TASKS[task]
    ]


def default_variants(task):
    """The variants on which a task is trained and tested by default.

    C is the task of SB only: for ES and EB it leaves nothing to remove.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    list of str
        Seven variants for ES and EB, eight for SB, where C is reported for
        indoor and outdoor mixtures apart.

    Example
    -------
    >>> default_variants("ES")
    ['SER', 'SR', 'ER', 'R', 'SE', 'S', 'E']
    """
    check_task(task)
    return [v for v in VARIANTS if v != "C" or task == "SB"]


def cancelled(variant, task, setting):
    """The components that are subtracted from the stored mixture.

    Arguments
    ---------
    variant : str
        What is kept: SER, SR, ER, R, SE, S, E or C.
    task : str
        ES, EB or SB; ES also cancels the second speaker and its reverberation.
    setting : str
        indoor or outdoor; there is no reverberation outdoors.

    Returns
    -------
    list of str
        Columns of the manifest.

    Example
    -------
    >>> cancelled("SR", "SB", "indoor")
    ['event_wav', 'event_reverb_wav']
    >>> cancelled("SE", "ES", "outdoor")
    ['s2_wav']
    """
    kept = set(variant) - {"C"}
    columns = [
        column
        for letter, group in COMPONENTS.items()
        if letter not in kept
        for column in group
    ]
    if task == "ES":
        columns += ["s2_wav", "s2_reverb_wav"]
    if setting == "outdoor":
        columns = [c for c in columns if "reverb" not in c]
    return sorted(set(columns), key=columns.index)


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
    references and the files to be cancelled, and nothing else.

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

    takes = ("mixture_id", "setting", "variants", "duration") + FILE_COLUMNS
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
        self.epoch = torch.zeros(1, dtype=torch.long).share_memory_()

    def set_epoch(self, epoch):
        """Sets the epoch, for the workers of a data loader too.

        Arguments
        ---------
        epoch : int
            Number of the epoch, from 1.
        """
        self.epoch.fill_(epoch)

    def allowed(self):
        """The variants in use in the present epoch.

        Returns
        -------
        list of str
            In the order of VARIANTS.
        """
        return allowed_variants(self.variants, self.curriculum, int(self.epoch))

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
        allowed = self.allowed()
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

        Raises ValueError when a component has not the length of the mixture.

        Arguments
        ---------
        mixture_id : str
            ID of the mixture.
        setting : str
            indoor or outdoor.
        variants : list of str
            The variants which the mixture has.
        duration : float
            Length of the mixture in seconds.
        *files : tuple of str
            The paths named by FILE_COLUMNS.

        Returns
        -------
        variant : str
            The variant drawn.
        mix_sig : torch.Tensor
            The mixture, [time].
        sources_sig : torch.Tensor
            The references, [time, source].
        """
        paths = dict(zip(FILE_COLUMNS, files))
        span = self._span(mixture_id, duration)
        variant = self.variant(mixture_id, variants)
        # ES cancels a file that no reference needs, SB the other way round:
        # each file is read once.
        signals = {"mix_wav": read_audio({"file": paths["mix_wav"], **span})}
        removed = cancelled(variant, self.task, setting)
        needed = [c for columns in TASKS[self.task] for c in columns]
        for column in dict.fromkeys(removed + needed):
            signals[column] = read_audio({"file": paths[column], **span})
            if signals[column].shape != signals["mix_wav"].shape:
                raise ValueError(
                    f"mixture {mixture_id}: {paths[column]} has shape "
                    f"{tuple(signals[column].shape)}, the mixture "
                    f"{tuple(signals['mix_wav'].shape)}; prepare the corpus "
                    "again, its files have changed"
                )
        # 16-bit samples and their sums are exact in float32.
        mixture = signals["mix_wav"] - sum(signals[c] for c in removed)
        sources = [sum(signals[c] for c in group) for group in TASKS[self.task]]
        return variant, mixture, torch.stack(sources, dim=-1)

    def _span(self, mixture_id, duration):
        """The samples to read, as keyword arguments of read_audio."""
        total = round(duration * self.sample_rate)
        length = round((self.segment_seconds or duration) * self.sample_rate)
        if length >= total:
            return {}
        position = draw(self.seed, int(self.epoch), mixture_id, "crop")
        start = int(position * (total - length + 1))
        return {"start": start, "stop": start + length}
