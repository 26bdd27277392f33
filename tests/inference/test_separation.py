"""A trained model separates arrays, at the level of the mixture."""

from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch
from inference.separation import LevelMatcher, Separation


@pytest.fixture
def separation(run_of_sb):
    """The model of a run."""
    return Separation.from_run(run_of_sb[0])


def signal(length, seed=0):
    """Noise at a level far from full scale."""
    generator = torch.Generator().manual_seed(seed)
    return 0.01 * torch.randn(length, generator=generator)


def test_arrays_become_arrays_at_the_level_of_the_mixture(
    run_of_sb, separation
):
    assert separation.names == ["s1", "s2"]
    assert separation.sample_rate == 8000
    mixture = signal(8001)
    with torch.no_grad():
        estimates = run_of_sb[1](mixture[None])[0].double()
    # Each estimate is projected on the mixture.
    gains = (mixture.double() @ estimates) / (estimates**2).sum(0)
    for given in (mixture, mixture.numpy(), mixture.double().numpy()):
        found = separation(given)
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        assert found.shape == (8001, 2)
        assert np.allclose(found, estimates * gains, atol=1e-7)


def test_mixtures_of_lists_and_threads_do_not_meet(separation):
    mixtures = [signal(n, n) for n in (3000, 8000, 257)]
    expected = [separation(mixture) for mixture in mixtures]
    assert all(map(np.array_equal, separation(mixtures), expected))
    with ThreadPool(4) as pool:
        found = pool.map(separation, mixtures * 4)
    for one, other in zip(found, expected * 4):
        assert np.allclose(one, other, atol=1e-7)


def test_a_long_mixture_is_separated_in_windows():
    class Network(torch.nn.Module):
        """Notes the shapes of batches."""

        shapes = []

        def forward(self, mixtures):
            self.shapes.append(list(mixtures.shape))
            return mixtures.unsqueeze(-1)

    settings = {"window_seconds": 2, "overlap_seconds": 0.4, "batch_size": 3}
    separation = Separation(Network(), 8000, ["s1"], **settings)
    mixture = signal(40_000)  # windows from 0, 1.6 and 3 s on
    assert np.allclose(separation(mixture)[:, 0], mixture, atol=1e-7)
    assert Network.shapes == [[3, 16_000]]


@pytest.mark.parametrize(
    "mixture, message",
    [
        (torch.zeros(2, 800), r"\[time\], found an array \[2, 800\]"),
        (np.zeros(8000, np.int16), "divide 16-bit samples by 32768"),
        (torch.full((8000,), torch.nan), "finite samples, found NaN"),
        (torch.zeros(47), "at least 48 samples, found 47"),
    ],
)
def test_what_is_no_mixture_is_refused(separation, mixture, message):
    assert separation.min_samples == 48  # 5 frames, which reflection takes
    with pytest.raises(ValueError, match=message):
        separation(mixture)
    assert not separation(torch.zeros(48)).any()


def test_precision_is_that_of_the_device(run_of_sb, separation):
    with pytest.raises(ValueError, match="expected fp32, bf16 on cpu"):
        Separation.from_run(run_of_sb[0], precision="fp16")
    half = Separation.from_run(run_of_sb[0], precision="bf16")
    difference = half(signal(4000)) - separation(signal(4000))
    assert 0 < np.abs(difference).max() < 2e-3


def test_no_sample_exceeds_full_scale():
    mixture = torch.tensor([1.0, 0.0, 0.0, 0.0])
    estimates = torch.tensor([[1.0, 2], [0.5, 0], [-4, 0], [0, 1]]) / 100

    def level_of(mixture):
        """Listens to a mixture whose estimates are late, in other parts."""
        level = LevelMatcher()
        assert len(list(level.listen(mixture.split(2)))) == 2
        level.add(estimates[:3])
        level.add(estimates[3:])
        return level

    gains = torch.tensor([100 / (1 + 0.25 + 16), 200 / (4 + 1)])
    level = level_of(mixture)
    assert not level.is_silent
    assert torch.allclose(level.factors(), gains)
    # The second source would reach 8: both become softer.
    assert torch.allclose(level_of(10 * mixture).factors(), gains * 10 / 8)
    assert level_of(0 * mixture).is_silent
