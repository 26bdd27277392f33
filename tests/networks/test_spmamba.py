"""Sizes and parts of SPMamba."""

import pytest
import torch
import torch.nn.functional as F
from networks.spectral import EPS
from networks.spmamba import Path, SPMamba

MAMBA = dict(d_state=2, expand=1)
TINY = dict(n_fft=32, hop=8, B=1, D=4, I=3, heads=2, qk=34, **MAMBA)
REDUCED = dict(B=4, D=16, I=4, heads=2, qk=256)
FULL = dict(B=6, D=16, I=8, heads=4, qk=512)


@pytest.mark.parametrize(
    "sizes, one, two",
    [(REDUCED, 1_156_078, 1_156_368), (FULL, 6_094_208, 6_094_498)],
)
def test_published_sizes(sizes, one, two):
    for num_spks, count in ((1, one), (2, two)):
        with torch.device("meta"):
            network = SPMamba(num_spks, **sizes)
        assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    "size, message",
    [
        (dict(D=5), r"D: .* multiple of 2 \(heads\), found 5"),
        (dict(n_fft=40), r"n_fft: .* multiple of 16 \(two hops\), found 40"),
        (dict(I=18), "I: expected at most 17 bins, found 18"),
        (dict(I=0), "I: .* from 1 on, found 0"),
        (dict(B=0), "B: .* from 1 on, found 0"),
        (dict(expand=0), "expand: .* from 1 on, found 0"),
    ],
)
def test_a_bad_size_is_refused_by_name(size, message):
    with pytest.raises(ValueError, match=message):
        SPMamba(2, **{**TINY, **size})


def test_the_shortest_mixture_has_a_step_of_mamba():
    network = SPMamba(2, **{**TINY, "I": 9})
    assert network.min_samples == 8 * 8  # 9 frames
    assert network(torch.randn(1, 64)).shape == (1, 64, 2)
    assert SPMamba(2, **TINY).min_samples == 17  # reflection


def test_estimates_follow_the_level_of_the_mixture():
    network, mixture = SPMamba(2, **TINY), torch.randn(2, 300)
    expected = 100 * network(mixture)
    assert torch.allclose(network(100 * mixture), expected, atol=1e-3)


def test_a_step_reads_neighbours_and_writes_them_back():
    """Without Mamba a path is a linear map of neighbouring steps."""
    path = Path(4, 3, MAMBA)
    for direction in (path.forwards, path.backwards):
        torch.nn.init.zeros_(direction[1].out_proj.weight)
    signal = torch.randn(2, 5, 9, 4)
    y = F.layer_norm(signal, (4,), eps=EPS)
    expected = signal + path.merge.bias
    for first in range(7):
        step = y[:, :, first : first + 3].mT.flatten(2)  # channels first
        step = torch.cat([step, step], -1)
        wrote = torch.einsum("brc,cdk->brkd", step, path.merge.weight)
        expected[:, :, first : first + 3] += wrote
    assert torch.allclose(path(signal), expected, atol=1e-5)


def test_a_path_with_equal_directions_commutes_with_time_reversal():
    path = Path(4, 1, MAMBA)
    path.backwards.load_state_dict(path.forwards.state_dict())
    half = path.merge.weight.detach()[:4]
    path.merge.weight.data = torch.cat([half, half])
    signal = torch.randn(2, 5, 20, 4)
    found = path(signal.flip(2)).flip(2)
    assert torch.allclose(found, path(signal), atol=1e-6)
