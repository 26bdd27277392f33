"""From manifests to the rows of a dataset: which mixtures, in which variants.

Authors
 * The PolSESS recipe team 2026
"""

import os

import pandas as pd
from audit.packing import packed_path
from mixer import draw
from mmipc import VARIANTS
from torch.utils.data import Sampler

from speechbrain.dataio.dataio import load_data_csv
from speechbrain.utils.distributed import is_distributed_initialized
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


def load_mixtures(
    save_folder,
    split,
    variants,
    data_root,
    sample_rate,
    limit=None,
    packed_folder=None,
):
    """Loads the mixtures of a split with the variants that each one has.

    Raises ValueError when a manifest is missing, when no mixture has any of the
    variants, or when the corpus has another sample rate.

    Arguments
    ---------
    save_folder : str
        Folder of the manifests ``<split>_<VARIANT>.csv``.
    split : str
        train, valid or test.
    variants : list of str
        The variants in use.
    data_root : str
        What ``$data_root`` stands for in the manifests.
    sample_rate : int
        Expected sample rate in Hz.
    limit : int
        Use this many mixtures, see ``stratified``. None for all.
    packed_folder : str
        Where the preparation packed them; None if it did not.

    Returns
    -------
    dict
        Mixture ID -> row of the manifest, with ``variants``, a list,
        ``mixture_id`` and ``packed_wav``, a path or empty, added. Sorted by ID.
        Where the corpus stores a variant as a mixture of its own,
        ``stored`` has its row.
    """
    mixtures = {}
    for variant in [v for v in VARIANTS if v in variants]:
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
        for mixture_id, row in rows.items():
            row["mixture_id"] = mixture_id
            row["packed_wav"] = packed_path(packed_folder, split, mixture_id)
            _add(mixtures, mixture_id, row, variant)
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
    kept = sorted(mixtures) if limit is None else stratified(mixtures, limit)
    return {mixture_id: mixtures[mixture_id] for mixture_id in kept}


def _add(mixtures, mixture_id, row, variant):
    """Adds a variant to a mixture, which takes the row of its first one."""
    first = mixtures.setdefault(mixture_id, row)
    first.setdefault("variants", []).append(variant)
    if row["mix_wav"] != first["mix_wav"]:
        first.setdefault("stored", {})[variant] = row


def stratified(mixtures, limit):
    """Picks mixtures in the proportions of the whole, whatever their order.

    Settings keep their shares, and scene classes theirs within a setting. The
    pick is a property of the corpus: no seed changes it, and a smaller one is
    contained in a larger one.

    Arguments
    ---------
    mixtures : dict
        Mixture ID -> row with ``setting`` and ``scene_class``.
    limit : int
        How many to pick; all are kept when there are no more.

    Returns
    -------
    list of str
        Sorted IDs.

    Example
    -------
    >>> mixtures = {
    ...     f"{i:02}": {
    ...         "setting": "outdoor" if i < 3 else "indoor",
    ...         "scene_class": "bus",
    ...     }
    ...     for i in range(12)
    ... }
    >>> picked = stratified(mixtures, 4)
    >>> [mixtures[i]["setting"] for i in picked]
    ['outdoor', 'indoor', 'indoor', 'indoor']
    """
    frame = pd.DataFrame.from_dict(mixtures, orient="index")
    frame = frame[["setting", "scene_class"]]
    frame["hash"] = [draw(0, 0, i, "stratified") for i in frame.index]
    frame["rank"] = 0.0
    # Members of a stratum are spread evenly over [0, 1] in the order of their
    # rank, first within scene classes, then within settings.
    for strata in (["setting", "scene_class"], ["setting"]):
        group = frame.sort_values(["rank", "hash"]).groupby(strata)["rank"]
        frame["rank"] = (group.cumcount() + 0.5) / group.transform("size")
    frame = frame.sort_values(["rank", "hash"])
    return sorted(frame.index[:limit])


def one_row_per_variant(mixtures):
    """Every mixture in every variant it has, for validation and test.

    Arguments
    ---------
    mixtures : dict
        What ``load_mixtures`` returns.

    Returns
    -------
    dict
        ``<mixture ID>_<variant>`` -> row with that single variant.

    Example
    -------
    >>> list(one_row_per_variant({"abc": {"variants": ["S", "E"]}}))
    ['abc_S', 'abc_E']
    """
    return {
        f"{mixture_id}_{variant}": {
            **row.get("stored", {}).get(variant, row),
            "variants": [variant],
        }
        for mixture_id, row in mixtures.items()
        for variant in row["variants"]
    }


class EpochSampler(Sampler):
    """Shuffles the mixtures that the present epoch uses.

    The order is a function of (seed, epoch, mixture ID), unlike that of
    SpeechBrain's samplers under distributed training, which ignore the seed. A
    mixture is left out while the curriculum has none of its variants; raises
    ValueError where none is left, or under distributed training not all are.

    Arguments
    ---------
    mixtures : dict
        What ``load_mixtures`` returns, in the order of the dataset.
    mixer : mixer.Mixer
        Holds seed, epoch and curriculum; ``mixer.set_epoch`` moves both on.

    Example
    -------
    >>> from mixer import Mixer
    >>> mixer = Mixer("ES", ["SER", "SE"], seed=1, sample_rate=8000)
    >>> mixtures = {"a": {"variants": ["SER"]}, "b": {"variants": ["C"]}}
    >>> list(EpochSampler(mixtures, mixer)), len(EpochSampler(mixtures, mixer))
    ([0], 1)
    """

    def __init__(self, mixtures, mixer):
        self.ids = list(mixtures)
        self.variants = [row["variants"] for row in mixtures.values()]
        self.mixer = mixer
        stages = [1] + [stage["epoch"] for stage in mixer.curriculum or []]
        counts = {epoch: len(self._used(epoch)) for epoch in stages}
        if min(counts.values()) == 0:
            empty = min(counts, key=counts.get)
            raise ValueError(
                f"curriculum: from epoch {empty} on no training mixture has a "
                f"variant of {', '.join(mixer.allowed(empty)) or 'the list'}"
            )
        processes = int(os.environ.get("WORLD_SIZE", 1))
        if 1 < processes >= min(counts.values()):
            # DistributedSamplerWrapper fails where a process has a single one.
            raise ValueError(
                f"{min(counts.values())} training mixtures are too few for "
                f"{processes} processes: at least {processes + 1} are needed"
            )
        if is_distributed_initialized() and len(set(counts.values())) > 1:
            # DistributedSamplerWrapper fixes its length once and for all.
            raise ValueError(
                "curriculum: under distributed training every stage must have "
                "a variant for every mixture; name an indoor one (SER, SR, ER, "
                "R) and an outdoor one (SE, S, E), or C, in each stage"
            )

    def _used(self, epoch):
        allowed = set(self.mixer.allowed(epoch))
        return [
            index
            for index, variants in enumerate(self.variants)
            if not allowed.isdisjoint(variants)
        ]

    def __iter__(self):
        seed, epoch = self.mixer.seed, int(self.mixer.epoch)
        return iter(
            sorted(
                self._used(epoch),
                key=lambda index: draw(seed, epoch, self.ids[index], "order"),
            )
        )

    def __len__(self):
        return len(self._used(int(self.mixer.epoch)))
