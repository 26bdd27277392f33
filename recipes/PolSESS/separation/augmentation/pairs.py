"""Batches with as many indoor as outdoor mixtures.

Authors
 * The PolSESS recipe team 2026
"""

import os

from mixtures import EpochSampler

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

PAIR = ("indoor", "outdoor")


class SettingPairSampler(EpochSampler):
    """Shuffles indoor and outdoor mixtures apart, and takes one of each in turn.

    Each rank has them in turn, too. An epoch ends with the smaller setting; the
    mixtures left out of the larger one differ from epoch to epoch. Raises
    ValueError for a batch size that is not even, and where a setting is missing.

    Arguments
    ---------
    mixtures, mixer : dict, Mixer
        See the parent.
    batch_size : int
        Mixtures of a batch, of each rank.
    """

    def __init__(self, mixtures, mixer, batch_size):
        super().__init__(mixtures, mixer)
        if type(batch_size) is not int or batch_size < 2 or batch_size % 2:
            raise ValueError(
                "batch_size: expected an even number, for as many indoor as "
                f"outdoor mixtures, found {batch_size!r}"
            )
        self.settings = [row["setting"] for row in mixtures.values()]
        self.ranks = int(os.environ.get("WORLD_SIZE", 1))
        for epoch in sorted({1, *mixer.stages} - {0}):
            numbers = [len(x) for x in self._by_setting(self._used(epoch))]
            found = " and ".join(map("{} {}".format, numbers, PAIR))
            if min(numbers) < self.ranks:
                raise ValueError(
                    f"sampler: expected indoor and outdoor mixtures from epoch "
                    f"{epoch} on, one of each a rank, found {found}"
                )
            if numbers[0] != numbers[1]:
                logger.warning(
                    f"from epoch {epoch} on there are {found} mixtures: an "
                    f"epoch takes {min(numbers)} of each, not always the same"
                )

    def _by_setting(self, indices):
        """Splits indices, in their order, into those of each setting."""
        return [
            [index for index in indices if self.settings[index] == setting]
            for setting in PAIR
        ]

    def __iter__(self):
        indoor, outdoor = self._by_setting(list(super().__iter__()))
        # Rank r takes the indices r, r + ranks, ...
        for begin in range(0, len(self) // 2, self.ranks):
            block = slice(begin, begin + self.ranks)
            yield from indoor[block] + outdoor[block]

    def __len__(self):
        used = self._by_setting(self._used(int(self.mixer.epoch)))
        fewest = min(map(len, used))
        return 2 * (fewest - fewest % self.ranks)
