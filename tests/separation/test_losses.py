"""The loss against closed forms, and against the metric's own formula."""

import itertools

import numpy as np
import pytest
import torch
from losses import best_permutation, pairwise_si_sdr, si_sdr_loss
from metrics import si_sdr


@pytest.mark.parametrize("snr_db", [-30.0, 0.0, 12.5, 60.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_closed_form_whatever_scale_and_offset(snr_db, scale):
    phase = 2 * torch.pi * torch.arange(4096).reshape(1, -1, 1) / 4096
    reference, error = phase.cos(), (2 * phase).cos()
    estimate = scale * (5 + reference + 10 ** (-snr_db / 20) * error)
    loss = si_sdr_loss(estimate, reference - 3)
    assert loss.item() == pytest.approx(-snr_db, abs=1e-2)


def test_pairs_are_those_of_the_metric():
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((4, 8000, 2))
    estimate = 0.2 * reference + generator.standard_normal((4, 8000, 2))
    scores = pairwise_si_sdr(torch.tensor(estimate), torch.tensor(reference))
    for item, i, j in np.ndindex(4, 2, 2):
        expected = si_sdr(estimate[item, :, i], reference[item, :, j])
        assert scores[item, i, j].item() == pytest.approx(expected, abs=1e-3)


def test_padding_has_no_influence_on_loss_or_gradient():
    torch.manual_seed(0)
    reference, estimate = torch.randn(2, 3, 1000, 2)
    # 0.253 x 1000 is less than 253 in float32.
    samples = (1000, 700, 253)
    lengths = torch.tensor(samples) / 1000
    noisy = estimate.clone()
    for item, length in enumerate(samples):
        noisy[item, length:] = 1e3
    noisy.requires_grad_()
    arguments = noisy, reference, lengths
    copies = [argument.clone() for argument in arguments]
    loss = si_sdr_loss(*arguments)
    assert all(torch.equal(*pair) for pair in zip(arguments, copies))
    loss.sum().backward()
    for item, length in enumerate(samples):
        part = slice(item, item + 1), slice(length)
        alone = si_sdr_loss(estimate[part], reference[part])
        assert loss[item].item() == pytest.approx(alone.item(), abs=1e-4)
        assert torch.all(noisy.grad[item, length:] == 0)


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_permutation_is_the_best_of_all(sources):
    torch.manual_seed(sources)
    scores = torch.randn(20, sources, sources)
    found, order = best_permutation(scores)
    for item in range(20):
        means = {
            permutation: scores[item, list(permutation), range(sources)].mean()
            for permutation in itertools.permutations(range(sources))
        }
        best = max(means, key=means.get)
        assert tuple(order[item].tolist()) == best
        assert torch.equal(
            found[item], scores[item, list(best), range(sources)]
        )


def test_another_number_of_estimates_is_refused():
    with pytest.raises(ValueError, match="of 2 sources, found 1; num_spks"):
        best_permutation(torch.zeros(1, 1, 2))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_estimate_that_is_not_a_number_does_not_decide_about_others(row):
    scores = torch.tensor([[[5.0, 0, 1], [0, -200, 6], [2, 7, 0]]])
    scores[0, row] = torch.nan
    found, order = best_permutation(scores)
    assert order.tolist() == [[0, 2, 1]]
    best = torch.tensor([[5.0, 7, 6]])
    best[0, order[0].tolist().index(row)] = torch.nan
    assert torch.allclose(found, best, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_arguments_are_computed_in_float32(dtype):
    reference = torch.randn(1, 32000, 1)
    estimate = (reference + 0.01 * torch.randn_like(reference)).to(dtype)
    expected = si_sdr_loss(estimate.float(), reference)
    with torch.autocast("cpu", torch.bfloat16):
        loss = si_sdr_loss(estimate, reference)
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


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
