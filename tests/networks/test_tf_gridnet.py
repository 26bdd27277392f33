"""Sizes and parts of TF-GridNet."""

import pytest
import torch
from networks.tf_gridnet import RecurrentPath, TFGridNet

TINY = dict(D=8, B=1, I=4, J=1, H=8, n_fft=32, hop=16)
PUBLISHED = [
    (dict(D=32, B=4, I=4, J=1, H=128), 2_489_494, 2_490_072),
    (dict(D=64, B=6, I=4, J=1, H=256, n_fft=128), 14_434_448, 14_435_602),
]


@pytest.mark.parametrize("sizes, one, two", PUBLISHED)
def test_published_sizes(sizes, one, two):
    for num_spks, count in ((1, one), (2, two)):
        with torch.device("meta"):
            network = TFGridNet(num_spks, **sizes)
        assert sum(p.numel() for p in network.parameters()) == count


def test_a_step_reads_neighbours_and_writes_to_them():
    path = RecurrentPath(D=2, I=3, J=3, H=4)
    # Without memory, what a step writes comes from what it read.
    for name, weight in path.lstm.named_parameters():
        if "weight_hh" in name:
            torch.nn.init.zeros_(weight)
        if "bias_ih" in name:
            torch.nn.init.constant_(weight[4:8], -1e3)  # forget gate
    x = torch.randn(1, 1, 9, 2, requires_grad=True)
    path(x)[0, 0, 4].sum().backward()
    seen = x.grad[0, 0].abs().sum(-1) > 0
    assert seen.nonzero().flatten().tolist() == [3, 4, 5]


def test_a_path_mixes_positions_of_a_row():
    path = RecurrentPath(D=4, I=3, J=1, H=4)
    x = torch.randn(2, 3, 20, 4, requires_grad=True)
    path(x)[1, 2].square().sum().backward()
    seen = x.grad.abs().sum(-1) > 0
    assert seen[1, 2].all() and seen.sum() == 20


@pytest.mark.parametrize("J", [1, 2, 3, 4])
def test_strides_keep_the_shape(J):
    network = TFGridNet(2, **{**TINY, "J": J})
    for samples in (network.min_samples, 250, 257):
        assert network(torch.randn(1, samples)).shape == (1, samples, 2)


@pytest.mark.parametrize(
    "sizes, message",
    [
        (dict(D=10), "D: expected a multiple of 4 .*found 10"),
        (dict(I=2, J=3), "I, J: expected J <= I <= 17 .*I 2, J 3"),
        (dict(I=18), "I, J: .* found I 18, J 1"),
        (dict(n_fft=48), "n_fft: expected a multiple of 32 .*found 48"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        TFGridNet(2, **{**TINY, **sizes})
