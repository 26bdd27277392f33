"""Sizes and parts of TF-Locoformer."""

import pytest
import torch
from networks.spectral import EPS
from networks.tf_locoformer import Attention, Path, RMSGroupNorm, TFLocoformer

TINY = dict(D=8, B=1, H=8, K=4, attention_dim=8)
S = dict(D=96, B=4, H=256, K=4, attention_dim=96)
S_WHAMR = dict(D=96, B=4, H=128, K=8, attention_dim=128, n_fft=256)
M = dict(D=128, B=6, H=384, K=4, attention_dim=128)
M_WHAMR = dict(D=128, B=6, H=192, K=8, attention_dim=128, n_fft=256)
WINDOWS = dict(local_windows=[7, 31])  # TF-MossFormer
PUBLISHED = [
    (S, 5_031_586, 5_033_316),
    (S_WHAMR, 5_125_794, 5_127_524),
    (M, 14_977_922, 14_980_228),
    (M_WHAMR, 14_968_706, 14_971_012),
    ({**M, "B": 9}, 22_464_386, 22_466_692),
    ({**S, **WINDOWS}, 5_917_858, 5_919_588),
    ({**M, **WINDOWS}, 17_340_290, 17_342_596),
    ({**M, **WINDOWS, "B": 9}, 26_007_938, 26_010_244),
]


@pytest.mark.parametrize("sizes, one, two", PUBLISHED)
def test_published_sizes(sizes, one, two):
    for num_spks, count in ((1, one), (2, two)):
        with torch.device("meta"):
            network = TFLocoformer(num_spks, **sizes)
        assert sum(p.numel() for p in network.parameters()) == count


def test_groups_are_normalised_on_their_own():
    x = torch.tensor([3.0, 4.0, 0.0, 0.0, 30.0, 40.0])
    norm = RMSGroupNorm(6, groups=3)
    root = 12.5**0.5  # mean of 9 and 16
    expected = torch.tensor([3 / root, 4 / root, 0, 0, 3 / root, 4 / root])
    assert torch.allclose(norm(x), expected, atol=EPS)


def test_rotated_products_depend_on_the_distance_alone():
    attention = Attention(8, 8, heads=2)
    query, key = torch.randn(2, 1, 4).expand(2, 50, 4)
    products = attention.rotate(query) @ attention.rotate(key).T
    assert torch.allclose(products[:-7, :-7], products[7:, 7:], atol=1e-5)
    assert not torch.allclose(products[0], products[1], atol=1e-2)
    lengths = attention.rotate(query).norm(dim=-1)
    assert torch.allclose(lengths, query.norm(dim=-1))


def test_local_attention_sees_its_window_alone():
    attention = Attention(8, 8, heads=2, window=5)
    x = torch.randn(1, 20, 8, requires_grad=True)
    attention(x)[0, 10].sum().backward()
    seen = x.grad[0].abs().sum(-1) > 0
    assert seen.nonzero().flatten().tolist() == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("window", [0, 7])
def test_a_path_mixes_positions_of_a_row(window):
    path = Path(8, 8, 4, 8, heads=2, groups=2, window=window)
    x = torch.randn(2, 3, 20, 8, requires_grad=True)
    path(x)[1, 2].square().sum().backward()
    seen = x.grad.abs().sum(-1) > 0
    assert seen[1, 2].all() and seen.sum() == 20


def test_paths_run_along_frequency_then_time():
    network = TFLocoformer(1, **TINY)
    shapes = []
    for path in network.paths:
        path.register_forward_hook(lambda _, x, y: shapes.append(y.shape))
    network(torch.randn(2, 640))
    assert shapes == [(2, 11, 65, 8), (2, 65, 11, 8)]


def test_the_last_samples_are_not_amplified():
    network = TFLocoformer(1, **TINY)
    mixture = torch.randn(1, 640 + 63)  # a window's last sample is its least
    with torch.no_grad():
        estimate = network(mixture)[0, :, 0]
    assert estimate[-8:].abs().max() < 3 * estimate[:-8].abs().max()


@pytest.mark.parametrize(
    "sizes, message",
    [
        (dict(D=10), "D: expected a multiple of 4 .*found 10"),
        (dict(attention_dim=12), "attention_dim: expected a multiple of 8"),
        (dict(n_fft=100), "n_fft: expected a multiple of 128 .*found 100"),
        (dict(local_windows=[7, 30]), r"local_windows: .* \[7, 30\]"),
        (dict(local_windows=[7]), r"local_windows: .* \[7\]"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        TFLocoformer(2, **{**TINY, **sizes})
