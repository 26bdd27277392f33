"""Products and moments of the fast Conv-TasNet against float64."""

import pytest
import torch
from fast import block_functions, products


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_are_rounded_once_with_and_without_instructions(
    dtype, monkeypatch
):
    first = torch.randn(2, 7, 300).to(dtype)
    second = torch.randn(2, 300, 5).to(dtype)
    exact = first.double() @ second.double()
    # Half a step of rounding, and float32's sums.
    allowed = torch.finfo(dtype).eps / 2 * exact.abs() + 1e-4
    for is_emulated in (True, False):
        monkeypatch.setattr(products, "BF16_IS_EMULATED", is_emulated)
        out = torch.empty(2, 7, 5, dtype=dtype)
        found = products.matmul(first, second, out)
        assert found.dtype == dtype and found.data_ptr() == out.data_ptr()
        assert ((found.double() - exact).abs() <= allowed).all()
        assert torch.equal(found, products.matmul(first, second))


@pytest.mark.parametrize("mean", [0.0, 1.0, 3.0, -30.0, 1e4])
def test_moments_are_those_of_float64_however_large_the_mean(mean):
    signal = mean + torch.randn(3, 8, 96)
    signal[1] *= 1e-4
    signal[2] += 1e4  # an item does not decide for the others
    signal[..., 90:] = 0
    found = block_functions.moments(signal, 90)
    exact = signal[..., :90].double()
    expected = exact.mean((1, 2)), exact.std((1, 2), correction=0)
    assert torch.allclose(found[0].flatten().double(), expected[0], rtol=1e-6)
    deviation = (expected[1].square() + block_functions.EPS).rsqrt()
    error = (found[1].flatten().double() / deviation - 1).abs()
    # What rounding the mean leaves of a spread of 1 around 10,000.
    assert (error[exact.mean((1, 2)).abs() < 1e3] < 1e-5).all()
    assert (error < 1e-3).all()


def test_moments_of_a_long_signal_lose_no_digits():
    signal = torch.full((1, 2, 1_000_000), 0.7)
    signal[..., ::2] *= -1
    mean, scale = block_functions.moments(signal, signal.shape[-1])
    assert abs(mean.item()) < 1e-6
    assert abs(scale.item() * 0.7 - 1) < 1e-6


def test_products_in_parts_are_those_of_the_whole():
    weight = torch.randn(6, 16)
    signal = torch.randn(2, 16, 2 * products.PART_FRAMES + 48)
    expected = torch.einsum("oi,bit->bot", weight.double(), signal.double())
    out = torch.empty(2, 6, signal.shape[-1])
    for memory in (None, out):
        found = products.product_in_parts(weight, signal, memory)
        assert torch.allclose(found.double(), expected, atol=1e-5)
    assert torch.equal(out, found)
