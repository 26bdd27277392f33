"""The loss against closed forms, and against the metric's own formula."""

import itertools

import numpy as np
import pytest
import torch
from losses import best_permutation, pairwise_si_sdr, si_sdr_loss
from metrics import si_sdr


def orthogonal(count, time=4096):
    """Zero-mean orthogonal signals of unit power, [1, time, count]."""
    phase = 2 * torch.pi * torch.arange(time).unsqueeze(1) / time
    waves = torch.cos(phase * torch.arange(1, count + 1))
    return (waves * 2**0.5).unsqueeze(0)


@pytest.mark.parametrize("snr_db", [-30.0, 0.0, 12.5, 60.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_closed_form(snr_db, scale):
    signals = orthogonal(2)
    reference, error = signals[..., :1], signals[..., 1:]
    estimate = scale * (reference + 10 ** (-snr_db / 20) * error)
    loss = si_sdr_loss(estimate, reference)
    assert loss.item() == pytest.approx(-snr_db, abs=1e-2)


def test_offset_does_not_count():
    reference = torch.randn(2, 4000, 1)
    estimate = reference + 0.3 * torch.randn_like(reference)
    assert torch.allclose(
        si_sdr_loss(estimate + 5, reference - 3),
        si_sdr_loss(estimate, reference),
        atol=1e-3,
    )


def test_padding_has_no_influence_on_loss_or_gradient():
    torch.manual_seed(0)
    reference, estimate = torch.randn(2, 3, 1000, 2)
    lengths = torch.tensor([1.0, 0.7, 0.401])
    noisy = estimate.clone()
    for item, length in enumerate((1000, 700, 401)):
        noisy[item, length:] = 1e3
    noisy.requires_grad_()
    loss = si_sdr_loss(noisy, reference, lengths)
    loss.sum().backward()
    for item, length in enumerate((1000, 700, 401)):
        alone = si_sdr_loss(
            estimate[item : item + 1, :length],
            reference[item : item + 1, :length],
        )
        assert loss[item].item() == pytest.approx(alone.item(), abs=1e-4)
        assert torch.all(noisy.grad[item, length:] == 0)


def test_arguments_are_not_modified():
    reference, estimate = torch.randn(2, 2, 100, 2)
    copies = reference.clone(), estimate.clone()
    si_sdr_loss(estimate, reference, torch.tensor([1.0, 0.5]))
    assert torch.equal(reference, copies[0])
    assert torch.equal(estimate, copies[1])


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_permutation_is_the_best_of_all(sources):
    torch.manual_seed(sources)
    scores = torch.randn(5, sources, sources)
    found, order = best_permutation(scores)
    for item in range(5):
        means = {
            permutation: scores[item, list(permutation), range(sources)].mean()
            for permutation in itertools.permutations(range(sources))
        }
        best = max(means, key=means.get)
        assert tuple(order[item].tolist()) == best
        assert found[item].mean() == pytest.approx(means[best].item())


def test_swapped_estimates_cost_nothing():
    reference = torch.randn(3, 800, 2)
    estimate = reference + 0.1 * torch.randn_like(reference)
    assert torch.allclose(
        si_sdr_loss(estimate.flip(-1), reference),
        si_sdr_loss(estimate, reference),
    )


def test_agrees_with_the_metric():
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((4, 8000, 2))
    estimate = 0.2 * reference + generator.standard_normal((4, 8000, 2))
    scores = pairwise_si_sdr(torch.tensor(estimate), torch.tensor(reference))
    for item, i, j in np.ndindex(4, 2, 2):
        expected = si_sdr(estimate[item, :, i], reference[item, :, j])
        assert scores[item, i, j].item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_arguments_are_computed_in_float32(dtype):
    reference = torch.randn(1, 32000, 1)
    estimate = (reference + 0.01 * torch.randn_like(reference)).to(dtype)
    expected = si_sdr_loss(estimate.float(), reference)
    with torch.autocast("cpu", torch.bfloat16):
        loss = si_sdr_loss(estimate, reference)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("silent", ["estimate", "reference", "both"])
def test_silence_is_the_worst_score_with_a_finite_gradient(silent):
    reference, estimate = torch.randn(2, 2, 500, 2)
    if silent != "estimate":
        reference = torch.zeros_like(reference)
    if silent != "reference":
        estimate = torch.zeros_like(estimate)
    estimate.requires_grad_()
    loss = si_sdr_loss(estimate, reference)
    loss.sum().backward()
    assert torch.allclose(loss, torch.tensor(100.0), atol=0.01)
    assert estimate.grad.isfinite().all()


def test_loss_falls_under_gradient_descent():
    torch.manual_seed(0)
    reference = torch.randn(1, 400, 2)
    estimate = torch.randn(1, 400, 2, requires_grad=True)
    before = si_sdr_loss(estimate, reference).item()
    optimizer = torch.optim.Adam([estimate], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        si_sdr_loss(estimate, reference).mean().backward()
        optimizer.step()
    assert si_sdr_loss(estimate, reference).item() < before - 20


@pytest.mark.parametrize("row", [0, 1, 2])
def test_estimate_that_is_not_a_number_does_not_decide_about_others(row):
    scores = torch.tensor([[[5.0, 0, 1], [0, -200, 6], [2, 7, 0]]])
    scores[0, row] = torch.nan
    found, order = best_permutation(scores)
    assert order.tolist() == [[0, 2, 1]]
    best = torch.tensor([[5.0, 7, 6]])
    best[0, order[0].tolist().index(row)] = torch.nan
    assert torch.equal(found.isnan(), best.isnan())
    assert torch.equal(found.nan_to_num(), best.nan_to_num())
