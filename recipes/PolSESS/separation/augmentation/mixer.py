"""Training mixtures that vary: remixing, speed, gain and polarity.

The speed of a speaker changes with its reverberation and its target; the
background stays. SpeechBrain's recipes change the speed of the targets and add
them up, which would lose the background.

Speed perturbation: T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio
Augmentation for Speech Recognition", Interspeech 2015.

Authors
 * The PolSESS recipe team 2026
"""

import math
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np
import torch
from mixtures import Mixer, draw, read_signal
from torchaudio.transforms import Resample
from variants import FILE_COLUMNS, TASKS, cancelled

from augmentation.remix import Remix, check_number

PEAK_LIMIT = 0.999  # of the generator of PolSESS
LEVELLED = ("s1_wav", "s2_wav", "scene_wav")  # whose levels a remix draws


class AugmentingMixer(Mixer):
    """A mixer whose training mixtures vary from epoch to epoch.

    With all of it off, an item is that of the parent, bit for bit. An item that
    is remixed, or has a speaker of another speed, is the sum of its components;
    the stored mixture is not read. Where it, a component or a source exceeds
    0.999 of full scale, one gain scales all, as in the generator. Draws are
    functions of seed, epoch and mixture ID, given the training mixtures.

    Arguments
    ---------
    remix : Remix
        Draws parts and levels of new mixtures; None for none. A mixture of the
        setting ``dry`` keeps its parts and its speed.
    speeds : list of float
        Factors of which one is drawn for each speaker and item; 1 leaves the
        speaker as it is. Empty for none.
    gain_db : float
        The whole item changes its level by up to so much, up or down.
    flip_probability : float
        That the whole item changes its polarity, in 0 to 1.
    **options : object
        See the parent.
    """

    draws_by_id = True  # see SeededDataset

    def __init__(
        self,
        remix=None,
        speeds=(),
        gain_db=0.0,
        flip_probability=0.0,
        **options,
    ):
        super().__init__(**options)
        if not isinstance(remix, (Remix, type(None))):
            raise ValueError(
                f"remix: expected null, or no override, found {remix!r}; set "
                "--remix_probability"
            )
        if not isinstance(speeds, (list, tuple, type(None))):
            raise ValueError(f"speeds: expected a list, found {speeds!r}")
        for number, speed in enumerate(speeds or []):
            check_number(f"speeds[{number}]", speed, 0.5, 2)
        check_number("gain_db", gain_db, 0, 40)
        check_number("flip_probability", flip_probability, 0, 1)
        self.remix = remix if remix and remix.probability else None
        # Small integers make short filters.
        speeds = [Fraction(str(s)).limit_denominator(100) for s in speeds or []]
        self.speeds = speeds or [Fraction(1)]
        self.gain_db = gain_db
        self.flip_probability = flip_probability
        self.recombines = self.remix is not None or self.speeds != [1]
        self.rows = None

    def set_rows(self, rows):
        """Sets the training mixtures, of which parts are taken.

        Raises ValueError when they are too short for the speeds, or too few.

        Arguments
        ---------
        rows : dict
            Mixture ID -> row of the manifest. They are not copied.
        """
        self.rows = rows
        if max(self.speeds) > 1:
            self._check_lengths(max(self.speeds))
        if self.remix is not None:
            self.remix.set_rows(rows, self.task, self._samples)

    def _check_lengths(self, fastest):
        lengths = [self._samples(row) for row in self.rows.values()]
        needed = math.inf
        if self.segment_seconds is not None:
            segment = round(self.segment_seconds * self.sample_rate)
            needed = math.ceil(segment * fastest)
        n_short = sum(needed > length for length in lengths)
        if n_short:
            shortest = min(lengths) / self.sample_rate
            segment = math.floor(100 * shortest / fastest) / 100
            raise ValueError(
                f"speeds: {float(fastest):g} times the segment_seconds of "
                f"{self.segment_seconds or 'null'} is longer than {n_short} of "
                f"{len(lengths)} training mixtures, the shortest of "
                f"{shortest:g} s; set --segment_seconds={segment:g} or less"
            )

    def _samples(self, row):
        return round(row["duration"] * self.sample_rate)

    def __call__(self, mixture_id, setting, variants, duration, *files):
        """Makes the item of a mixture, see the parent."""
        chance = partial(draw, self.seed, int(self.epoch), mixture_id)
        speeds, is_remixed = self._changes(setting, chance)
        is_sum = is_remixed or set(speeds.values()) != {1}
        if is_sum:
            variant = self._variant(mixture_id, variants)
            signals = self._components(
                mixture_id, variant, speeds, is_remixed, chance
            )
            mixture = sum(signals.values())
            groups = TASKS[self.task]
            sources = [sum(signals[c] for c in group) for group in groups]
            sources = torch.stack(sources, dim=-1)
        else:
            variant, mixture, sources = super().__call__(
                mixture_id, setting, variants, duration, *files
            )
            signals = {}
        factor = 1.0
        if self.gain_db:
            factor = 10 ** (self.gain_db * (2 * chance("gain") - 1) / 20)
        if is_sum or self.gain_db:
            parts = (mixture, sources, *signals.values())
            peak = max(part.abs().max().item() for part in parts)
            factor = min(factor, PEAK_LIMIT / peak) if peak else factor
        if self.flip_probability and chance("flip") < self.flip_probability:
            factor = -factor
        if factor != 1:
            mixture, sources = factor * mixture, factor * sources
        return variant, mixture, sources

    def _changes(self, setting, chance):
        """Draws the speed of each speaker, and whether to remix."""
        speakers = ("s1",) if self.task == "ES" else ("s1", "s2")
        if not self.recombines or setting == "dry":
            return dict.fromkeys(speakers, 1), False
        if self.rows is None:
            raise ValueError(
                "dataset: expected checkpoints.random_state.SeededDataset, "
                "which hands over the rows for remix and speeds"
            )
        positions = {s: chance(f"speed {s}") for s in speakers}
        n_speeds = len(self.speeds)
        speeds = {
            s: self.speeds[int(p * n_speeds)] for s, p in positions.items()
        }
        remix = self.remix
        return speeds, remix is not None and chance("remix") < remix.probability

    def _components(self, mixture_id, variant, speeds, is_remixed, chance):
        """Reads the components that stay; column -> signal, [time]."""
        row = self.rows[mixture_id]
        start, stop = self._span(mixture_id, self._samples(row))
        length = stop - start
        removed = cancelled(variant, self.task, row["setting"])
        parts = {  # column -> part of the mixture
            column: column.split("_")[0]
            for column in FILE_COLUMNS[1:]
            if row[column] and column not in removed
        }
        needed = {
            part: math.ceil(length * speeds.get(part, 1))
            for part in parts.values()
        }
        origins = {part: (mixture_id, part) for part in needed}
        if is_remixed:
            origins = self.remix.choose(mixture_id, needed, chance)
        signals, power = {}, {}
        for column, part in parts.items():
            donor, name = origins[part]
            # The parts of one mixture stay together.
            crop = "crop" if donor == mixture_id else f"remix crop {part}"
            row = self.rows[donor]
            frames = self._samples(row)
            start = int(chance(crop) * (frames - needed[part] + 1))
            stop = start + needed[part]
            # Levels are those of whole signals, as in the generator.
            is_whole = is_remixed and column in LEVELLED
            signal = read_signal(
                donor,
                row[name + column[len(part) :]],
                self.sample_rate,
                frames,
                *((0, frames) if is_whole else (start, stop)),
            )
            if is_whole:
                # The bits of a mean of torch depend on its threads.
                power[part] = np.square(signal.numpy()).mean(dtype=float)
                signal = signal[start:stop]
            signals[column] = signal
        gains = self.remix.gains(power, chance) if is_remixed else {}
        for part in needed:
            columns = [column for column in parts if parts[column] == part]
            together = torch.stack([signals[column] for column in columns])
            together = change_speed(together, speeds.get(part, 1))[:, :length]
            signals.update(zip(columns, together * gains.get(part, 1)))
        return signals


def change_speed(signal, speed):
    """Plays a signal at another speed, its pitch included.

    Arguments
    ---------
    signal : torch.Tensor
        [..., time].
    speed : Fraction
        More than 1 is faster.

    Returns
    -------
    torch.Tensor
        Shorter by the factor, rounded up.

    Example
    -------
    >>> change_speed(torch.zeros(21), Fraction(21, 20)).shape
    torch.Size([20])
    """
    return signal if speed == 1 else _resampler(speed)(signal)


@lru_cache(maxsize=None)
def _resampler(speed):
    return Resample(speed.numerator, speed.denominator)
