"""A trained model separates arrays, at the level of the mixture."""

import itertools
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch
from inference.separation import LevelMatcher, Separation
from made_runs import CAUSAL, make_run, noise
from streaming.streaming import StreamingSeparator


@pytest.fixture
def separation(run_of_sb):
    """The model of a run."""
    return Separation.from_run(run_of_sb[0])


def signal(length):
    """A mixture."""
    return torch.from_numpy(noise(length)[:, 0]).float()


def test_arrays_become_arrays_at_the_level_of_the_mixture(
    run_of_sb, separation
):
    assert separation.names == ["s1", "s2"]
    assert separation.sample_rate == 8000
    mixture = signal(8001)
    with torch.no_grad():
        centred = mixture - mixture.mean()
        estimates = run_of_sb[1](centred[None])[0].double()
    # Each estimate is projected on the mixture.
    gains = (centred.double() @ estimates) / (estimates**2).sum(0)
    for given in (mixture, mixture.numpy(), mixture.double().numpy()):
        found = separation(given)
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        assert found.shape == (8001, 2)
        assert np.allclose(found, estimates * gains, atol=1e-7)


def test_mixtures_of_lists_and_threads_do_not_meet(separation):
    mixtures = [signal(n) for n in (3000, 8000, 257)]
    expected = [separation(mixture) for mixture in mixtures]
    assert all(map(np.array_equal, separation(mixtures), expected))
    with ThreadPool(4) as pool:
        found = pool.map(separation, mixtures * 4)
    for one, other in zip(found, expected * 4):
        assert np.allclose(one, other, atol=1e-7)


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


def test_windows_and_precision_are_those_of_the_options(run_of_sb, separation):
    run = run_of_sb[0]
    with pytest.raises(ValueError, match="expected fp32, bf16 on cpu"):
        Separation.from_run(run, precision="fp16")
    half = Separation.from_run(run, precision="bf16")
    difference = half(signal(4000)) - separation(signal(4000))
    assert 0 < np.abs(difference).max() < 2e-3
    options = dict(window_seconds=2, overlap_seconds=0.4, batch_size=3)
    windows = Separation.from_run(run, **options).windows
    found = windows.window, windows.overlap, windows.batch_size
    assert found == (16_000, 3200, 3)


def test_no_sample_exceeds_full_scale():
    # Of mean zero, and then with an offset, which no factor may see
    mixture = torch.tensor([1.0, -1.0, 0.0, 0.0])
    estimates = torch.tensor([[1.0, 2], [0, 0], [-4, 0], [0, 1]]) / 100

    gains = torch.tensor([100 / (1 + 16), 200 / (4 + 1)])
    # Ten times as loud, the second source would reach 8: both become softer.
    cases = (1, gains), (10, gains * 10 / 8), (0, gains * 0)
    for (factor, expected), offset in itertools.product(cases, (0, 0.25)):
        level = LevelMatcher()
        # The estimates come late, in other parts.
        given = factor * mixture + offset
        assert len(list(level.listen(given.split(2)))) == 2
        level.add(estimates[:0])
        level.add(estimates[:3])
        level.add(estimates[3:])
        assert torch.allclose(level.factors(), expected)
        assert level.is_silent == (factor == 0)


@pytest.mark.parametrize("offset", [0.05, -0.4])
def test_an_offset_changes_nothing(separation, offset):
    mixture = signal(8001) + 0.02 * torch.arange(8001).sin()
    expected = separation(mixture)
    assert np.abs(expected).max() > 0.005
    assert np.allclose(separation(mixture + offset), expected, atol=1e-5)
    # In windows, whatever the blocks
    short = Separation(separation.separator, 8000, "ab", 0.25, 0.05)
    expected = short(mixture)
    assert np.allclose(short(mixture + offset), expected, atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 0.05, 0.4])
def test_a_causal_file_is_the_stream(tmp_path, offset):
    make_run(tmp_path, "SB", **CAUSAL)
    separation = Separation.from_run(tmp_path)
    stream = StreamingSeparator(separation.separator)
    mixture = signal(24_000) + offset
    whole = torch.cat(list(separation.run(mixture.split(1000))))
    live = torch.cat(list(stream.run([mixture], 256)))
    assert whole.abs().max() > 0.01
    assert torch.allclose(live, whole, atol=1e-5)
    centred = torch.cat(list(separation.run([mixture - offset])))
    assert torch.allclose(live, centred, atol=1e-5)
