"""The parts of MossFormer2, against their definitions."""

import pytest
import torch
from networks.mossformer2 import (
    FrameNorm,
    GatedAttention,
    MossFormer2,
    ScaleNorm,
)

SIZES = {
    "N": 8,
    "C": 2,
    "num_blocks": 1,
    "group_size": 16,
    "query_key_dim": 6,
    "memory_dim": 4,
    "dropout": 0.0,
}


def attention(group_size=16, query_key_dim=6):
    """An attention whose weights are not small, as they are at first."""
    torch.manual_seed(0)
    module = GatedAttention(8, group_size, query_key_dim, dropout=0.0).eval()
    torch.nn.init.normal_(module.gain)
    torch.nn.init.normal_(module.offset)
    return module


@pytest.mark.parametrize("num_spks", [1, 2])
@pytest.mark.parametrize("num_blocks, expected", [(11, 26.15), (24, 55.47)])
def test_published_number_of_parameters(num_blocks, expected, num_spks):
    with torch.device("meta"):
        masknet = MossFormer2(512, num_spks, num_blocks, 256, 128, 256, 0.1)
    found = sum(p.numel() for p in masknet.parameters())
    found += 2 * 512 * 16  # encoder and decoder
    # A source more takes 512 channels more of the layer that splits.
    expected += (num_spks - 1) * 512 * 513 / 1e6
    assert found / 1e6 == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    "key, size, text",
    [
        ("N", 9, "N: expected a multiple of 2 .*, found 9"),
        ("query_key_dim", 5, "query_key_dim: .* multiple of 2 .*, found 5"),
        ("group_size", 0, "group_size: .* from 1 on, found 0"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(key, size, text):
    with pytest.raises(ValueError, match=text):
        MossFormer2(**{**SIZES, key: size})


@pytest.mark.parametrize("query_key_dim", [6, 40])
def test_rotary_positions_are_turns_of_complex_numbers(query_key_dim):
    """A pair is a complex number; no more than 32 channels turn."""
    x = torch.randn(2, 4, 50, query_key_dim)
    found = attention(query_key_dim=query_key_dim)._rotate(x)
    size = min(32, query_key_dim)
    expected = x.clone()
    for pair in range(size // 2):
        rate = 10_000 ** (-2 * pair / size)
        turn = torch.polar(torch.ones(50), rate * torch.arange(50.0))
        both = slice(2 * pair, 2 * pair + 2)
        number = torch.view_as_complex(x[..., both].contiguous()) * turn
        expected[..., both] = torch.view_as_real(number)
    assert torch.allclose(found, expected, atol=1e-5)


def test_products_of_rotated_vectors_depend_on_their_distance():
    module = attention()
    query, key = torch.randn(2, 1, 6).expand(2, 30, 6)
    products = module._rotate(query) @ module._rotate(key).t()
    for distance in (0, 3, -7):
        diagonal = products.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[:1], atol=1e-5)


@pytest.mark.parametrize("frames", [1, 15, 16, 17, 40])
def test_groups_attend_as_a_loop_over_frames(frames):
    module, size = attention(), 16
    query, key = torch.randn(2, 1, frames, 6)
    hidden = torch.randn(1, frames, 32)
    found = module._attend_in_groups(query, key, hidden)
    expected = torch.zeros_like(hidden)
    for i in range(frames):
        start = i // size * size
        for j in range(start, min(start + size, frames)):
            weight = (query[0, i] @ key[0, j] / size).relu().square()
            expected[0, i] += weight * hidden[0, j]
    assert torch.allclose(found, expected, atol=1e-5)


def test_other_groups_are_seen_by_the_linear_attention():
    module = attention()
    x = torch.randn(1, 64, 8)
    changed = x.clone()
    changed[:, 63] += 1
    with torch.no_grad():
        assert not torch.equal(module(x)[:, 0], module(changed)[:, 0])
        module.gain[[1, 3]] = 0
        module.offset[[1, 3]] = 0
        assert torch.equal(module(x)[:, 0], module(changed)[:, 0])


def test_scale_norm():
    found = ScaleNorm()(torch.tensor([[1.0, -7.0], [0.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([[0.2, -1.4], [0.0, 0.0]]))


def test_the_memory_s_norm_has_its_statistics_in_float32():
    norm = FrameNorm(8, 8)
    x = 3 + torch.randn(2, 8, 500)
    expected = torch.nn.functional.group_norm(x, norm.num_groups)
    assert torch.allclose(norm(x), expected, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = norm(x.bfloat16())
    expected = torch.nn.functional.group_norm(
        x.bfloat16().float(), norm.num_groups
    )
    assert torch.allclose(half.float(), expected, rtol=2**-8, atol=1e-5)


def test_a_mixture_of_one_frame_is_normalised_to_the_bias():
    norm = FrameNorm(8, 8)
    torch.nn.init.constant_(norm.bias, 0.5)
    found = norm(torch.randn(1, 8, 1))
    assert torch.allclose(found, torch.tensor(0.5), atol=1e-3)


def test_an_output_of_the_memory_reads_neighbours_of_one_kind():
    """Halves of the second layer read outputs or inputs of the first."""
    memory = MossFormer2(**SIZES).blocks[0][1].far[0]
    torch.nn.init.ones_(memory.weight)
    outputs, inputs = torch.ones(1, 4, 99), torch.zeros(1, 4, 99)
    found = memory(torch.cat([outputs, inputs], 1))[0, :, 49]
    assert found.tolist() == [78.0, 78.0, 0.0, 0.0]
