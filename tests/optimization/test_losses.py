"""Losses by name against independent formulas."""

import math

import numpy as np
import pytest
import torch
from losses import si_sdr_loss
from optimization.losses import (
    FFT_SIZES,
    LOSSES,
    find_loss,
    pairwise_snr,
    stft_distance,
)
from recipe import hparams_of
from scipy.signal import stft
from tiny_networks import TINY, overrides_of


def noise(*shape, seed=0):
    """The same noise each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at_snr(reference, snr_db, seed=9):
    """The reference with an orthogonal error of zero mean at some SNR."""
    error = noise(*reference.shape, seed=seed)
    reference = reference - reference.mean(1, keepdim=True)
    error -= error.mean(1, keepdim=True)
    scale = (error * reference).sum(1) / reference.square().sum(1)
    error -= scale.unsqueeze(1) * reference
    ratio = reference.square().sum(1) / error.square().sum(1)
    gain = (ratio * 10 ** (-snr_db / 10)).sqrt()
    return reference + gain.unsqueeze(1) * error, reference


def test_names_and_the_message_for_another():
    assert find_loss("si_sdr") is si_sdr_loss
    for name in ("sisdr", ["si_sdr"]):
        with pytest.raises(ValueError) as error:
            hparams_of(loss_name=name)
        assert str(error.value) == (
            "loss_name: expected one of si_sdr, thresholded_si_sdr, snr, "
            f"si_sdr_stft, found {name!r}; is si_sdr meant?"
        )


@pytest.mark.parametrize(
    "snrs_db", [(10, 20, 40), (10, 31, 40), (31, 32, 40), (5, 10, 29)]
)
def test_the_thresholded_mean_is_that_of_speechbrain(snrs_db):
    pairs = [
        at_snr(noise(1, 4000, 1, seed=n), x) for n, x in enumerate(snrs_db)
    ]
    estimate, reference = map(torch.cat, zip(*pairs))
    estimate.requires_grad_()
    found = find_loss("thresholded_si_sdr")(estimate, reference).mean()
    # The lines of recipes/WSJ0Mix/separation/train.py
    kept = [-float(x) for x in snrs_db if -x > -30]
    expected = sum(kept) / len(kept) if kept else 0.0
    assert found.item() == pytest.approx(expected, abs=1e-3)
    found.backward()
    moved = estimate.grad.abs().sum((1, 2)) > 0
    assert moved.tolist() == [-x > -30 for x in snrs_db]


def test_an_item_that_is_not_a_number_is_not_passed_over():
    estimate, reference = at_snr(noise(2, 400, 1), 10)
    estimate[1, 0] = torch.nan
    assert find_loss("thresholded_si_sdr")(estimate, reference).isnan().any()


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.1])
def test_snr_by_the_formula_depends_on_the_level(gain):
    estimate, reference = at_snr(noise(2, 4000, 1), 20)
    estimate = gain * estimate + 0.01  # a constant is an error, too
    x, s = estimate.double().numpy(), reference.double().numpy()
    expected = 10 * np.log10((s**2).sum(1) / ((s - x) ** 2).sum(1))
    found = find_loss("snr")(estimate, reference)
    assert found.numpy() == pytest.approx(-expected[:, 0], abs=1e-4)


def test_snr_is_bounded():
    signal, silence = noise(1, 400, 1), torch.zeros(1, 400, 1)
    assert pairwise_snr(signal, signal).item() == pytest.approx(100, abs=4)
    assert pairwise_snr(signal, silence).item() == pytest.approx(-100, abs=0.1)
    assert pairwise_snr(silence, signal).item() == pytest.approx(0, abs=1e-4)


def distance_by_scipy(estimate, reference):
    """The published formula, in float64, of one source."""
    total = 0
    for size in FFT_SIZES:
        magnitudes = []
        for signal in (estimate, reference):
            signal = signal.double().numpy()
            signal = np.pad(signal, (0, -len(signal) % (size // 4)))
            *_, spectrum = stft(
                signal, nperseg=size, noverlap=size * 3 // 4, padded=False
            )
            window = np.hanning(size + 1)[:-1].sum()  # scipy divides by it
            magnitudes.append(np.abs(spectrum) * window)
        x, s = magnitudes
        frames = -(-len(reference) // (size // 4))
        x, s = x[:, :frames], s[:, :frames]
        total += np.linalg.norm(s - x) / np.linalg.norm(s)
        total += np.abs(np.log(x / s)).mean()
    return total / len(FFT_SIZES)


@pytest.mark.parametrize("samples", [3001, 4096])
def test_spectra_by_scipy(samples):
    estimate, reference = noise(2, samples, 2), noise(2, samples, 2, seed=1)
    expected = [
        np.mean([distance_by_scipy(x[:, i], s[:, i]) for i in (0, 1)])
        for x, s in zip(estimate, reference)
    ]
    found = stft_distance(estimate, reference)
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_the_level_decides_between_estimates_of_one_si_sdr():
    estimate, reference = at_snr(noise(1, 4000, 1), 20)
    loss = find_loss("si_sdr_stft")
    right, loud = loss(estimate, reference), loss(3 * estimate, reference)
    assert si_sdr_loss(3 * estimate, reference).item() == pytest.approx(
        si_sdr_loss(estimate, reference).item(), abs=1e-3
    )
    more = (loud - right).item()
    assert 2 < more < 2 + math.log(3) + 0.1  # 3 - 1, and at most log(3)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_sources_does_not_count(name):
    reference = noise(2, 2000, 2)
    estimate = reference + 0.1 * noise(2, 2000, 2, seed=3)
    loss = find_loss(name)
    a, b = loss(estimate, reference), loss(estimate.flip(-1), reference)
    assert a.shape == (2,) and torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_does_not_count(name):
    estimate, reference = noise(2, 2000, 2), noise(2, 2000, 2, seed=1)
    loss = find_loss(name)
    alone = loss(estimate[1:, :1500], reference[1:, :1500])
    estimate[1, 1500:] = 100.0
    both = loss(estimate, reference, torch.tensor([1.0, 0.75]))
    assert torch.allclose(both[1:], alone, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("silent", ["estimate", "reference", "both", "equal"])
def test_gradients_are_finite(name, silent):
    estimate, reference = noise(2, 1000, 1), noise(2, 1000, 1, seed=1)
    if silent in ("estimate", "both"):
        estimate[0] = 0
    if silent in ("reference", "both"):
        reference[0] = 0
    if silent == "equal":
        estimate = reference.clone()
    estimate.requires_grad_()
    loss = find_loss(name)(estimate, reference)
    loss.sum().backward()
    assert loss.isfinite().all() and estimate.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_left_outside(name):
    estimate, reference = noise(1, 1000, 1), noise(1, 1000, 1, seed=1)
    estimate = estimate.bfloat16()
    expected = find_loss(name)(estimate.float(), reference)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = find_loss(name)(estimate, reference)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("samples", [1, 100, 255])
def test_segments_may_be_shorter_than_a_window(samples):
    reference = 1 + noise(2, samples, 1)
    for gain in (0.5, 2.0):
        found = stft_distance(gain * reference, reference)
        expected = abs(gain - 1) + abs(math.log(gain))
        assert found.numpy() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_inner_estimates_have_the_loss_too(name):
    hparams = hparams_of(
        "sepreformer.yaml",
        task="SB",
        loss_name=name,
        **overrides_of(TINY["SepReformer"]),
    )
    network, reference = hparams["network"].train(), noise(2, 1000, 2)
    estimate = network(reference.sum(-1))
    outputs = [estimate, *network.auxiliary]
    found = hparams["loss"](estimate, reference, torch.tensor([1.0, 0.9]))
    of_all = [
        find_loss(name)(x, reference, torch.tensor([1.0, 0.9])) for x in outputs
    ]
    expected = 0.6 * of_all[0] + 0.4 * torch.stack(of_all[1:]).mean(0)
    assert len(of_all) > 1 and torch.allclose(found, expected, rtol=1e-5)
