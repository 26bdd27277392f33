"""Separates recordings of any length in overlapping windows, in bounded memory.

In the overlap of two windows, the sources of the later window are permuted to match
the earlier one, and cross-faded.

Authors
 * The PolSESS recipe team 2026
"""

from itertools import permutations

import torch


def best_order(before, after):
    """Matches the sources of a window to those of the window before.

    Arguments
    ---------
    before : torch.Tensor
        Estimates of the earlier window in the overlap, [time, source].
    after : torch.Tensor
        Estimates of the later window in the overlap, [time, source].

    Returns
    -------
    list of int
        For each source of the earlier window the source of the later one, such
        that the squared differences have the smallest sum.

    Example
    -------
    >>> before = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> best_order(before, before.flip(-1))
    [1, 0]
    """
    products = before.double().t() @ after.double()
    rows = range(len(products))
    # Among equals, max takes the first: the order that the network gave.
    orders = permutations(rows)
    return list(
        max(orders, key=lambda o: sum(products[i, o[i]].item() for i in rows))
    )


class Windows:
    """Applies a network to a stream of samples, window by window.

    Raises ValueError when the overlap exceeds half a window.

    Arguments
    ---------
    estimate : callable
        [batch, time] -> [batch, time, source], on the CPU.
    window : int
        Length of a window in samples. A shorter stream is one window.
    overlap : int
        Overlap of two windows in samples, at most half a window.
    batch_size : int
        Windows per forward pass.

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
        tail = None  # estimates of the last window in its overlap with the next
        end = 0  # of the last window
        for start, estimates in self._estimates(blocks):
            stop = start + len(estimates)
            if tail is not None:
                # The last window of a stream may overlap by more.
                estimates = estimates[end - self.overlap - start :]
                head = estimates[: self.overlap]
                order = best_order(tail, head)
                ramp = torch.arange(self.overlap).add(0.5) / self.overlap
                faded = torch.lerp(tail, head[:, order], ramp.unsqueeze(-1))
                rest = estimates[self.overlap :, order]
                estimates = torch.cat([faded, rest])
            end = stop
            cut = max(0, len(estimates) - self.overlap)
            yield estimates[:cut]
            tail = estimates[cut:]
        if tail is not None:
            yield tail

    def _estimates(self, blocks):
        """Yields start and estimates, [time, source], of each window."""
        waiting = []
        for window in self._cut(blocks):
            waiting.append(window)
            if len(waiting) == self.batch_size:
                yield from self._forward(waiting)
                waiting = []
        if waiting:
            yield from self._forward(waiting)

    def _forward(self, windows):
        """One forward pass of several windows."""
        starts, signals = zip(*windows)
        return zip(starts, self.estimate(torch.stack(signals)))

    def _cut(self, blocks):
        """Yields start and samples of each window; the last ends the stream."""
        # kept: the samples from start on; covered: the end of the last window.
        kept, start, covered = torch.empty(0), 0, 0
        for block in blocks:
            kept = torch.cat([kept, block])
            # One sample more tells that a window is not the last one.
            while start + len(kept) > self._next(covered) + self.window:
                begin = self._next(covered)
                yield begin, kept[begin - start :][: self.window]
                covered = begin + self.window
                # The last window may begin a whole window before the end.
                drop = covered + 1 - self.window - start
                kept, start = kept[drop:], start + drop
        total = start + len(kept)
        if total > covered:
            length = min(self.window, total)
            yield total - length, kept[len(kept) - length :]

    def _next(self, covered):
        """Start of the window after one that ends at a sample."""
        return covered - self.overlap if covered else 0
