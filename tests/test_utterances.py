"""Cutting batches into utterances, and estimates at the references' level."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scoring import Utterance, utterances_of


def utterance(estimate, reference):
    """An utterance of these signals, each [time, source]."""
    sources = [f"s{number + 1}" for number in range(reference.shape[1])]
    return Utterance({}, sources, estimate, reference, reference.sum(-1))


def batch(lengths, sources=2, seed=0):
    """Noise, padded with what must not be looked at: [batch, time, source]."""
    generator = torch.Generator().manual_seed(seed)
    time = max(lengths)
    reference = torch.randn(len(lengths), time, sources, generator=generator)
    mixture = reference.sum(-1) + 0.1
    for item, length in enumerate(lengths):
        reference[item, length:] = 0
        mixture[item, length:] = 0
    relative = torch.tensor(lengths) / time
    return SimpleNamespace(
        mix_sig=(mixture, relative),
        sources_sig=(reference, relative),
        mixture_id=[f"id{item}" for item in range(len(lengths))],
        variant=["SER", "R", "C"][: len(lengths)],
        setting=["indoor"] * len(lengths),
    )


@pytest.mark.parametrize("gain", [-7, -1, 1e-4, 1, 1000, 1e15, 1e-25])
def test_scaled_is_the_closest_multiple_at_any_scale_and_sign(gain):
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((4000, 2))
    noisy = reference + 0.3 * generator.standard_normal((4000, 2))
    estimate = (gain * noisy).astype("float32")
    scaled = utterance(estimate, reference.astype("float32")).scaled()
    assert scaled.dtype == np.float32
    for source in range(2):
        factor, *_ = np.linalg.lstsq(
            noisy[:, source : source + 1], reference[:, source], rcond=None
        )
        expected = factor * noisy[:, source]
        assert np.allclose(scaled[:, source], expected, atol=1e-5)
        # The error is orthogonal to the estimate.
        error = scaled[:, source] - reference[:, source]
        assert abs(error @ scaled[:, source]) < 1e-2


def test_scaled_modifies_nothing():
    reference = np.ones((10, 1))
    estimate = 3 * reference
    utterance(estimate, reference).scaled()
    assert (estimate == 3).all() and (reference == 1).all()


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("error")
def test_silent_or_broken_estimate_leaves_the_other(value):
    reference = np.random.default_rng(0).standard_normal((100, 2))
    estimate = -2 * reference
    if value == 0:
        estimate[:, 0] = 0
    else:
        estimate[50, 0] = value
    broken = utterance(estimate, reference)
    assert np.array_equal(broken.scaled()[:, 0], estimate[:, 0], equal_nan=True)
    assert np.allclose(broken.scaled()[:, 1], reference[:, 1])
    heard = broken.signals()
    assert list(heard) == [
        "mixture",
        "estimate s1",
        "estimate s2",
        "reference s1",
        "reference s2",
    ]
    for signal in heard.values():
        assert signal.shape == (100,)
        assert np.isfinite(signal).all()
    assert heard["estimate s1"][50] == 0
    assert np.array_equal(heard["reference s2"], reference[:, 1])
    assert np.array_equal(heard["mixture"], reference.sum(-1))


@pytest.mark.parametrize("lengths", [(1000,), (1000, 701, 333), (7, 16000, 3)])
def test_padding_is_cut_exactly(lengths):
    items = batch(lengths)
    reference = items.sources_sig[0]
    estimate = 0.5 * reference + 0.1
    found = utterances_of(items, estimate, ["s1", "s2"])
    assert len(found) == len(lengths)
    for item, (one, length) in enumerate(zip(found, lengths)):
        assert one.labels == {
            "ID": f"id{item}",
            "variant": ["SER", "R", "C"][item],
            "setting": "indoor",
        }
        assert one.sources == ["s1", "s2"]
        for signal, whole in (
            (one.estimate, estimate),
            (one.reference, reference),
            (one.mixture, items.mix_sig[0]),
        ):
            assert signal.dtype == np.float32
            assert np.array_equal(signal, whole[item, :length].numpy())


def test_estimates_are_in_the_order_of_the_references():
    items = batch((500, 400, 300), sources=3)
    reference = items.sources_sig[0]
    orders = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 0, 2]])
    estimate = torch.stack(
        [-4 * reference[item][:, orders[item]] for item in range(3)]
    )
    # What lies behind the end of a mixture decides nothing.
    estimate[1, 400:] = 50
    for one in utterances_of(items, estimate, ["s1", "s2", "s3"]):
        assert np.array_equal(one.estimate, -4 * one.reference)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_one_broken_estimate_leaves_the_order_of_the_others(
    value, order, broken
):
    items = batch((500,), sources=3)
    reference = items.sources_sig[0]
    estimate = 2 * reference[..., list(order)]
    estimate[0, 5, list(order).index(broken)] = value
    (one,) = utterances_of(items, estimate, ["s1", "s2", "s3"])
    for source in range(3):
        if source == broken:
            assert not np.isfinite(one.estimate[:, source]).all()
        else:
            expected = 2 * one.reference[:, source]
            assert np.array_equal(one.estimate[:, source], expected)


def test_half_precision_estimates_become_float32():
    items = batch((100,))
    estimate = items.sources_sig[0].bfloat16()
    (one,) = utterances_of(items, estimate, ["s1", "s2"])
    assert np.array_equal(one.estimate, estimate[0].float().numpy())
