"""From manifests to batches: which mixtures, in which variant, and their audio.

All that is random here is a stateless function of (seed, epoch, mixture ID), so
that neither workers, nor ranks, nor interruptions change it.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import os

import torch
from torch.utils.data import Sampler
from variants import (
    FILE_COLUMNS,
    TASKS,
    VARIANTS,
    cancelled,
    check_task,
    check_variants,
    counts_in_means,
)

from speechbrain.dataio.audio_io import info, load
from speechbrain.dataio.dataio import load_data_csv
from speechbrain.utils.distributed import get_rank, is_distributed_initialized
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


def draw(seed, epoch, mixture_id, purpose):
    """Draws a uniform number in [0, 1), a function of its arguments alone.

    ``purpose`` (str) says what is drawn for the mixture; draws for different
    purposes are independent.

    Example
    -------
    >>> round(draw(1234, 1, "abc", "variant"), 3)
    0.325
    """
    text = f"{purpose}|{seed}|{epoch}|{mixture_id}".encode()
    digest = hashlib.blake2b(text, digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


class Mixer:
    """Reads a mixture and its references and cancels what the variant lacks.

    This is the function of the data pipeline; it reads no file that the variant
    does not need. Raises ValueError when an argument makes no sense, and later
    with the name of each file that cannot be used.

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
        Length of the random crop; None for the whole mixture.
    curriculum : list of dict
        Stages {epoch, variants}; a stage holds until the next one begins, and
        ``variants`` before the first. Empty or None for no curriculum.
    min_samples : int
        Shortest crop that the network takes.
    """

    takes = ("mixture_id", "setting", "variants", "duration", *FILE_COLUMNS)
    provides = ("variant", "mix_sig", "sources_sig")

    def __init__(
        self,
        task,
        variants,
        seed,
        sample_rate,
        segment_seconds=None,
        curriculum=None,
        min_samples=1,
    ):
        check_task(task)
        self.stages = {0: variants, **_stages(curriculum)}
        for begin, stage in self.stages.items():
            name = f"curriculum, epoch {begin}" if begin else "variants"
            check_variants(name, stage)
            if not all(counts_in_means(v, task) for v in stage):
                logger.warning(
                    f"{name}: C is the reference up to rounding for {task}, so "
                    "the loss is unbounded and SI-SDR says nothing; C is left "
                    "out of every mean"
                )
        if segment_seconds is not None:
            samples = round(segment_seconds * sample_rate)
            if samples < min_samples:
                raise ValueError(
                    f"segment_seconds: {segment_seconds} s ({samples} samples) "
                    "is too short for the network; expected "
                    f"{min_samples / sample_rate:.4g} s or more"
                )
        self.task = task
        self.seed = seed
        self.sample_rate = sample_rate
        self.segment_seconds = segment_seconds
        # Persistent workers keep the copy of this object they were born with:
        # only shared memory tells them that a new epoch has begun.
        self.epoch = torch.ones(1, dtype=torch.long).share_memory_()

    def set_epoch(self, epoch):
        """Sets the epoch (int, from 1), for the workers of a loader too."""
        self.epoch.fill_(epoch)

    def _allowed(self, epoch):
        """The variants in use in an epoch, in an order that no YAML changes."""
        begin = max(begin for begin in self.stages if begin <= epoch)
        return [v for v in VARIANTS if v in self.stages[begin]]

    def _variant(self, mixture_id, variants):
        """Draws one that the mixture has and the current epoch allows."""
        epoch = int(self.epoch)
        candidates = [v for v in self._allowed(epoch) if v in variants]
        position = draw(self.seed, epoch, mixture_id, "variant")
        return candidates[int(position * len(candidates))]

    def __call__(self, mixture_id, setting, variants, duration, *files):
        """Makes the item of a mixture, whose files are in FILE_COLUMNS' order.

        Returns the variant drawn, the mixture, [time], and the references,
        [time, source].
        """
        whole = round(duration * self.sample_rate)
        start, stop = self._span(mixture_id, whole)
        # A single variant is that of validation and test, which draw nothing.
        variant = variants[0]
        if len(variants) > 1:
            variant = self._variant(mixture_id, variants)
        removed = cancelled(variant, self.task, setting)
        references = TASKS[self.task]
        paths = dict(zip(FILE_COLUMNS, files))
        columns = ["mix_wav", *removed, *sum(references, ())]
        signals = {
            column: read_signal(
                mixture_id, paths[column], self.sample_rate, whole, start, stop
            )
            for column in dict.fromkeys(columns)
        }
        # 16-bit samples and their sums are exact in float32.
        mixture = signals["mix_wav"] - sum(signals[c] for c in removed)
        sources = [sum(signals[c] for c in group) for group in references]
        return variant, mixture, torch.stack(sources, dim=-1)

    def _span(self, mixture_id, whole):
        """The first sample to read and the one after the last."""
        if self.segment_seconds is None:
            return 0, whole
        length = min(whole, round(self.segment_seconds * self.sample_rate))
        position = draw(self.seed, int(self.epoch), mixture_id, "crop")
        start = int(position * (whole - length + 1))
        return start, start + length


def _stages(curriculum):
    """First epoch -> variants; raises ValueError where a stage is malformed."""
    stages = {}
    for number, stage in enumerate(curriculum or []):
        key = f"curriculum[{number}]"
        if not isinstance(stage, dict) or set(stage) != {"epoch", "variants"}:
            raise ValueError(
                f"{key}: expected {{epoch, variants}}, found {stage!r}"
            )
        if type(stage["epoch"]) is not int or stage["epoch"] < 1:
            raise ValueError(
                f"{key}.epoch: expected 1, 2, ..., found {stage['epoch']!r}"
            )
        stages.setdefault(stage["epoch"], stage["variants"])
    return stages


def read_signal(mixture_id, path, sample_rate, frames, start, stop):
    """Reads samples of a file, and checks that it is as declared.

    Weeks may lie between the preparation of a corpus and the reading of a file.
    Raises ValueError when it is unreadable, has not the declared length and
    rate, is not mono, or when the samples are not finite.

    Arguments
    ---------
    mixture_id, path : str
        The mixture, for the error, and the file.
    sample_rate, frames : int
        Rate in Hz and samples of the whole file.
    start, stop : int
        The first sample to read and the one after the last.

    Returns
    -------
    torch.Tensor
        [time], float32.
    """
    expected = f"{frames} samples at {sample_rate} Hz in 1 channel(s)"
    try:
        # libsndfile hides that a file was cut: it then has fewer samples.
        header = info(path)
        found = (
            f"{header.frames} samples at {header.sample_rate} Hz in "
            f"{header.channels} channel(s)"
        )
        if found == expected:
            signal, _ = load(
                path,
                dtype=torch.float32,
                frame_offset=start,
                num_frames=stop - start,
            )
            if signal.sum().isfinite() and signal.shape[1] == stop - start:
                return signal[0]
            n_bad = int((~signal.isfinite()).sum())
            found = (
                f"{signal.shape[1]} of {stop - start} samples from {start} on, "
                f"{n_bad} of them NaN or infinite"
            )
    except RuntimeError as error:
        found = str(error) if os.path.exists(path) else "no such file"
    raise ValueError(
        f"mixture {mixture_id}: {path}: expected {expected}, found {found}; "
        "restore the file, or list all such files by prepare_polsess.py "
        "--audit full; then the same command goes on from the last checkpoint"
    )


def load_mixtures(
    save_folder, split, variants, data_root, sample_rate, limit=None
):
    """Loads the mixtures of a split with the variants that each one has.

    Raises ValueError when a manifest is missing, when no mixture has any of the
    variants, or when the corpus has another sample rate.

    Arguments
    ---------
    save_folder, split : str
        Folder and split of the manifests ``<split>_<VARIANT>.csv``.
    variants : list of str
        The variants in use.
    data_root : str
        Replaces ``$data_root`` in the manifests.
    sample_rate : int
        Expected sample rate in Hz.
    limit : int
        Number of mixtures to use, see ``pick_mixtures``. None for all.

    Returns
    -------
    dict
        Mixture ID, sorted -> row of the manifest, with ``mixture_id`` and the
        list ``variants`` added, and ``stored``: variant -> its own row, where
        the corpus stores a variant as a mixture of its own.
    """
    check_variants(f"{split} variants", variants)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(
            f"n_{split}: expected a positive integer or null, found {limit!r}"
            + "; 0 leaves the test out, and --test_only asks for it"
            * (limit == 0 and split == "test")
        )
    mixtures = {}
    for variant in [v for v in VARIANTS if v in variants]:
        rows = _read_manifest(save_folder, split, variant, data_root)
        for mixture_id, row in rows.items():
            # A mixture takes the row of its first variant.
            first = mixtures.setdefault(mixture_id, row)
            first["mixture_id"] = mixture_id
            first.setdefault("variants", []).append(variant)
            if row["mix_wav"] != first["mix_wav"]:
                stored = {**row, "mixture_id": mixture_id}
                first.setdefault("stored", {})[variant] = stored
    if not mixtures:
        raise ValueError(
            f"{save_folder}: no {split} mixture has any of the variants "
            f"{', '.join(variants)}; outdoor mixtures have SE, S, E and C, "
            "indoor ones SER, SR, ER, R and C, those of Libri2Mix S and C"
        )
    rates = sorted({int(row["sample_rate"]) for row in mixtures.values()})
    if rates != [sample_rate]:
        raise ValueError(
            f"{save_folder}: expected {split} mixtures of {sample_rate} Hz, "
            f"found {' and '.join(map(str, rates))} Hz; run with "
            f"--sample_rate={rates[0]}"
        )
    kept = pick_mixtures(mixtures, "all" if limit is None else limit)
    return {mixture_id: mixtures[mixture_id] for mixture_id in kept}


def _read_manifest(save_folder, split, variant, data_root):
    """The rows of a variant by mixture ID, none where the corpus has none."""
    path = os.path.join(save_folder, f"{split}_{variant}.csv")
    if not os.path.isfile(path):
        raise ValueError(
            f"{path}: expected a manifest, found none; run without "
            "--skip_prep to prepare the corpus"
        )
    rows = load_data_csv(path, {"data_root": data_root})
    if not rows:
        logger.warning(
            f"{split}: the corpus has no mixture with variant {variant}"
        )
    return rows


def pick_mixtures(mixtures, limit):
    """Picks mixtures in the proportions of the whole, whatever their order.

    Settings keep their shares, and scene classes theirs within a setting. No
    seed changes the pick, and a smaller one is contained in a larger one.
    Raises ValueError when the limit is not a number.

    Arguments
    ---------
    mixtures : dict
        Mixture ID -> row with ``setting`` and ``scene_class``.
    limit : int or str
        How many to pick, or "all"; all are kept when there are no more.

    Returns
    -------
    list of str
        Sorted IDs.
    """
    if limit == "all":
        return sorted(mixtures)
    if type(limit) is not int or limit < 0:
        raise ValueError(
            f"expected a number of mixtures or all, found {limit!r}; see "
            "n_train, n_valid, n_test and save_audio"
        )
    # Members of a stratum are spread evenly over [0, 1] in the order of their
    # rank, first within scene classes, then within settings.
    ranks = {i: (0, draw(0, 0, i, "stratified")) for i in mixtures}
    for columns in (("setting", "scene_class"), ("setting",)):
        strata = {}
        for i in sorted(ranks, key=ranks.get):
            stratum = tuple(mixtures[i][column] for column in columns)
            strata.setdefault(stratum, []).append(i)
        ranks = {
            i: ((number + 0.5) / len(members), ranks[i][1])
            for members in strata.values()
            for number, i in enumerate(members)
        }
    return sorted(sorted(ranks, key=ranks.get)[:limit])


def one_row_per_variant(mixtures, saved=()):
    """Lists every mixture in every variant it has, for validation and test.

    Takes the result of ``load_mixtures`` and the IDs of mixtures whose signals
    are to be saved. Returns a dict, ``<mixture ID>_<variant>`` -> row with that
    single variant and the bool ``save_audio``; under distributed evaluation the
    share of this rank.
    """
    saved = set(saved)
    rows = {
        f"{mixture_id}_{variant}": {
            **row.get("stored", {}).get(variant, row),
            "variants": [variant],
            "save_audio": mixture_id in saved,
        }
        for mixture_id, row in mixtures.items()
        for variant in row["variants"]
    }
    if not is_distributed_initialized():
        return rows
    ranks = torch.distributed.get_world_size()
    return dict(list(rows.items())[get_rank() :: ranks])


def all_gather_rows(rows):
    """Collects the rows of all ranks, for all ranks; a list as is on one."""
    if not is_distributed_initialized():
        return rows
    parts = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


class EpochSampler(Sampler):
    """Shuffles the mixtures that the current epoch uses.

    Takes the result of ``load_mixtures``, in the order of the dataset, and the
    ``Mixer``, which holds seed, epoch and curriculum. The order is a function
    of (seed, epoch, mixture ID), unlike that of SpeechBrain's samplers under
    distributed training, which ignore the seed. A mixture is left out while the
    curriculum has none of its variants. Raises ValueError where none is left;
    several ranks need more mixtures than ranks, and as many in each stage.
    """

    def __init__(self, mixtures, mixer):
        self.ids = list(mixtures)
        self.variants = [row["variants"] for row in mixtures.values()]
        self.mixer = mixer
        ranks = int(os.environ.get("WORLD_SIZE", 1))
        counts = {b: len(self._used(b)) for b in {1, *mixer.stages} - {0}}
        fewest = min(counts, key=counts.get)
        # SpeechBrain's DistributedSamplerWrapper fixes its length once, and
        # fails where a rank has a single mixture.
        too_few = counts[fewest] <= (ranks if ranks > 1 else 0)
        if too_few or (ranks > 1 and len(set(counts.values())) > 1):
            raise ValueError(
                f"curriculum: from epoch {fewest} on, {counts[fewest]} of "
                f"{len(self.ids)} training mixtures have a variant of "
                f"{', '.join(mixer._allowed(fewest))}; expected at least one, "
                f"with several ranks (found {ranks}) more than ranks, and as "
                "many in each stage"
            )

    def _used(self, epoch):
        """Indices of the mixtures that have a variant in use."""
        allowed = set(self.mixer._allowed(epoch))
        return [
            index
            for index, variants in enumerate(self.variants)
            if not allowed.isdisjoint(variants)
        ]

    def __iter__(self):
        seed, epoch = self.mixer.seed, int(self.mixer.epoch)
        used = self._used(epoch)
        used.sort(key=lambda i: draw(seed, epoch, self.ids[i], "order"))
        return iter(used)

    def __len__(self):
        return len(self._used(int(self.mixer.epoch)))
