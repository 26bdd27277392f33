"""Windows meet without a seam, in the order of the first, in bounded memory."""

import gc

import pytest
import torch
from inference.separation import LevelMatcher
from inference.windows import Windows


@pytest.mark.parametrize("length", [1, 99, 100, 101, 180, 181, 1061])
def test_windows_cover_each_sample_once_in_the_order_of_the_first(length):
    """A network that returns three sources in another order in each window."""
    generator = torch.Generator().manual_seed(3)
    sources = torch.randn(length, 3, generator=generator)

    def estimate(mixtures):
        """Looks the sources up: a sample of the mixture is its own number."""
        new = [torch.randperm(3, generator=generator) for _ in mixtures]
        orders.extend(new)
        found = sources[mixtures.long()]
        return torch.stack([f[:, order] for f, order in zip(found, new)])

    mixture = torch.arange(float(length))
    for block in (1, 64, 5000):
        for batch_size in (1, 3):
            orders = []
            windows = Windows(estimate, 100, 20, batch_size)
            found = torch.cat(list(windows.run(mixture.split(block))))
            assert torch.allclose(found, sources[:, orders[0]])


def test_windows_are_cross_faded_where_they_overlap():
    starts, shapes = [], []

    def estimate(mixtures):
        """One source, whose level is the number of the window."""
        first = len(starts) + 1
        starts.extend(mixtures[:, 0].tolist())
        shapes.append(list(mixtures.shape))
        levels = torch.arange(first, first + len(mixtures))
        return levels.view(-1, 1, 1).expand(-1, 100, 1).float()

    windows = Windows(estimate, 100, 20, batch_size=2)
    found = torch.cat(list(windows.run(torch.arange(250.0).split(64))))
    # The last window ends with the mixture, and overlaps by more.
    assert starts == [0, 80, 150] and shapes == [[2, 100], [1, 100]]
    ramp = (torch.arange(20) + 0.5) / 20
    one = torch.ones
    level = [one(80), 1 + ramp, 2 * one(60), 2 + ramp, 3 * one(70)]
    assert torch.allclose(found.squeeze(-1), torch.cat(level))


def test_memory_does_not_grow_with_the_length():
    held = []

    def blocks():
        """Blocks of a mixture; notes what all tensors hold."""
        for number in range(400):
            if number in (40, 399):
                found = [x for x in gc.get_objects() if type(x) is torch.Tensor]
                held.append(sum(x.untyped_storage().nbytes() for x in found))
            yield torch.ones(50)

    level = LevelMatcher()
    windows = Windows(lambda mixtures: mixtures.unsqueeze(-1), 100, 20)
    for part in windows.run(level.listen(blocks())):
        level.add(part)
    assert held[1] < held[0] + 20_000  # bytes; the mixture has 80,000
