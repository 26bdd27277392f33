"""Brings estimates to the level of the recording they were made from.

Authors
 * The PolSESS recipe team 2026
"""

import torch

FULL_SCALE = 1.0


class Level:
    """Brings estimates, whose scale is arbitrary, to the level of the mixture.

    Each source gets one factor for the whole recording, that of its projection: of
    what it has in common with the mixture, nothing is left over. A source then is
    never louder than the mixture. If a sample would be beyond full scale
    nevertheless, all sources are made quieter by one factor.

    Example
    -------
    >>> level = Level()
    >>> mixture = torch.tensor([0.5, -0.5, 0.5, 0.5])
    >>> estimates = torch.stack([mixture * -8, mixture * 0], dim=-1)
    >>> level.add(mixture, estimates)
    >>> level.factors()
    tensor([-0.1250,  0.0000])
    """

    def __init__(self):
        self.common = self.energy = self.peak = 0.0
        self.is_silent = True  # the mixture

    def add(self, mixture, estimates):
        """Takes a part of the recording into account.

        Arguments
        ---------
        mixture : torch.Tensor
            [time]
        estimates : torch.Tensor
            [time, source]
        """
        values = estimates.double()
        self.is_silent = self.is_silent and not mixture.any()
        self.common = self.common + mixture.double() @ values
        self.energy = self.energy + values.square().sum(0)
        if len(values):
            peak = torch.as_tensor(self.peak).double()
            self.peak = peak.maximum(values.abs().amax(0))

    def factors(self):
        """A factor for each source.

        Returns
        -------
        torch.Tensor
            [source], float32; zero for a source that is silent.
        """
        factors = self.common / self.energy.clamp_min(1e-30)
        peak = (self.peak * factors.abs()).max().item()
        if peak > FULL_SCALE:
            factors = factors * (FULL_SCALE / peak)
        return factors.float()


def in_pairs(separate, blocks):
    """Puts what comes out of a separation beside what went in.

    Arguments
    ---------
    separate : callable
        From blocks of samples to parts of estimates, [time, source], which come
        later and are of other lengths, but in all as long.
    blocks : iterable of torch.Tensor
        The mixture, [time].

    Yields
    ------
    tuple of torch.Tensor
        A part of the mixture, [time], and its estimates.
    """
    waiting = []

    def recorded():
        """Blocks, of which a copy is kept."""
        for block in blocks:
            waiting.append(block)
            yield block

    for estimates in separate(recorded()):
        mixture = torch.cat(waiting)
        yield mixture[: len(estimates)], estimates
        waiting[:] = [mixture[len(estimates) :]]
