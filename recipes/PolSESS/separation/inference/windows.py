"""Separates recordings of any length in windows, in bounded memory.

Windows overlap. Where two of them meet, the sources of the later one are put in the
order of the earlier one, by what both make of the overlap, and faded in.

Authors
 * The PolSESS recipe team 2026
"""

from itertools import permutations

import torch


def best_order(before, after):
    """The order of sources in which a window goes on from the one before.

    Arguments
    ---------
    before : torch.Tensor
        What the earlier window makes of the overlap, [time, source].
    after : torch.Tensor
        What the later window makes of it, [time, source].

    Returns
    -------
    list of int
        For each source of the earlier window that of the later one: those whose
        squared differences have the smallest sum, whatever their scale.

    Example
    -------
    >>> before = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> best_order(before, before.flip(-1))
    [1, 0]
    """
    products = before.double().t() @ after.double()
    rows = range(len(products))
    # The first of equal ones is the order that the network gave.
    orders = permutations(rows)
    return list(
        max(orders, key=lambda o: sum(products[i, o[i]].item() for i in rows))
    )


class Windows:
    """A network applied to a stream of samples, window by window.

    Raises ValueError when the overlap does not fit into the window.

    Arguments
    ---------
    estimate : callable
        [batch, time] -> [batch, time, source], on the CPU.
    window : int
        Length of a window in samples. A stream that is not longer is separated
        in one piece.
    overlap : int
        Samples that two windows share, at most half a window.
    batch_size : int
        Windows that go through the network together.

    Example
    -------
    >>> halves = Windows(lambda x: torch.stack([x, -x], -1) / 2, 100, 20)
    >>> mixture = torch.arange(1000.0)
    >>> parts = list(halves.run(mixture.split(64)))
    >>> torch.allclose(torch.cat(parts)[:, 0], mixture / 2)
    True
    """

    def __init__(self, estimate, window, overlap, batch_size=1):
        if not 0 < 2 * overlap <= window:
            raise ValueError(
                "overlap: expected more than 0 and at most half a window of "
                f"{window} samples, found {overlap}"
            )
        self.estimate = estimate
        self.window = window
        self.overlap = overlap
        self.batch_size = batch_size

    def run(self, blocks):
        """Separates a stream.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            The mixture, [time], in blocks of any length.

        Yields
        ------
        torch.Tensor
            Estimates, [time, source], in all as long as the mixture.
        """
        tail = None  # what the last window makes of the overlap with the next
        end = 0  # of the last window
        for start, estimates in self._estimates(blocks):
            stop = start + len(estimates)
            if tail is not None:
                # The last window may reach back further than the overlap.
                estimates = estimates[end - self.overlap - start :]
                head = estimates[: self.overlap]
                order = best_order(tail, head)
                estimates = estimates[:, order]
                ramp = torch.arange(self.overlap).add(0.5) / self.overlap
                faded = torch.lerp(
                    tail, estimates[: self.overlap], ramp.unsqueeze(-1)
                )
                estimates = torch.cat([faded, estimates[self.overlap :]])
            end = stop
            cut = len(estimates) - self.overlap
            if cut > 0:
                yield estimates[:cut]
            tail = estimates[max(0, cut) :]
        if tail is not None:
            yield tail

    def _estimates(self, blocks):
        """Start and estimates, [time, source], of each window in turn."""
        waiting = []
        for window in self._cut(blocks):
            waiting.append(window)
            if len(waiting) == self.batch_size:
                yield from self._pass(waiting)
                waiting = []
        if waiting:
            yield from self._pass(waiting)

    def _pass(self, windows):
        """A pass of the network."""
        starts, signals = zip(*windows)
        return zip(starts, self.estimate(torch.stack(signals)))

    def _cut(self, blocks):
        """Start and samples of each window; the last one ends with the stream."""
        kept, start, covered = torch.empty(0), 0, 0
        hop = self.window - self.overlap
        for block in blocks:
            kept = torch.cat([kept, block])
            # One sample more is needed to know that a window is not the last.
            while start + len(kept) > covered + (
                hop if covered else self.window
            ):
                begin = covered - self.overlap if covered else 0
                first = begin - start
                yield begin, kept[first : first + self.window]
                covered = begin + self.window
                # The last window may begin a whole window before the end.
                drop = covered + 1 - self.window - start
                kept, start = kept[drop:], start + drop
        total = start + len(kept)
        if total > covered:
            length = min(self.window, total)
            yield total - length, kept[len(kept) - length :]
