"""Sizes, parts and auxiliary loss of SepReformer."""

from types import SimpleNamespace

import pytest
import torch
from losses import si_sdr_loss
from networks.auxiliary import AuxiliaryLoss
from networks.sepreformer import (
    MAX_DISTANCE,
    Attention,
    Block,
    ItemNorm,
    SepReformer,
)
from recipe import hparams_of

TINY = dict(F=8, F_o=16, R=2, K=5, heads=2, dropout=0.0)
# The papers' numbers of parameters leave out the auxiliary outputs.
PUBLISHED = [
    (64, 3_670_208, 3_711_488),
    (128, 13_983_360, 14_147_840),
    (256, 54_565_376, 55_222_016),
]


@pytest.mark.parametrize("F, one, two", PUBLISHED)
def test_published_sizes(F, one, two):
    for num_spks, expected in ((1, one), (2, two)):
        with torch.device("meta"):
            network = SepReformer(num_spks, F)
        del network.auxiliary_outputs
        assert sum(p.numel() for p in network.parameters()) == expected


def test_item_norm_is_group_norm():
    x, norm = 5 + torch.randn(3, 40, 6), ItemNorm(6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    expected = torch.nn.functional.group_norm(
        x.mT, 1, norm.weight, norm.bias, norm.eps
    )
    assert torch.allclose(norm(x).mT, expected, atol=1e-5)


def test_attention_is_torchs_without_distances():
    attention = Attention(8, heads=2, dropout=0.0)
    x = torch.randn(3, 20, 8)
    stock = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    stock.in_proj_weight, stock.in_proj_bias = attention.qkv.parameters()
    stock.out_proj = attention.out[0]
    y = attention.norm(x)
    expected = attention.scale * stock(y, y, y)[0]
    assert torch.allclose(attention(x), expected, atol=1e-9)


def test_embeddings_of_distances_act_as_relative_positions():
    """Without keys, a bias in the query makes one distance win."""
    network, attention = SepReformer(1, **TINY), Attention(8, 2, dropout=0.0)
    with torch.no_grad():
        attention.qkv.weight[:16] = 0
        attention.qkv.bias[:16] = torch.tensor([100.0, 0, 0, 0] * 4)
        network.positions.weight.zero_()
        network.positions.weight[MAX_DISTANCE + 3, 0] = 100.0
        distances = network.distances(20, "cpu")
        x = torch.randn(1, 20, 8)
        found = attention(x, distances)
        value = attention.norm(x) @ attention.qkv.weight[16:].T
        value = value + attention.qkv.bias[16:]
        expected = attention.scale * attention.out(value)
    assert torch.allclose(found[:, 3:], expected[:, :-3], atol=1e-9)


def test_distances_beyond_the_table_count_as_its_ends():
    network = SepReformer(1, **TINY)
    distances = network.distances(MAX_DISTANCE + 2, "cpu")
    first, last = network.positions.weight[[0, -1]]
    assert torch.equal(distances[0, -2], first)
    assert torch.equal(distances[0, -1], first)
    assert torch.equal(distances[-1, 0], last)
    assert torch.equal(distances[-1, 2], last)
    assert not torch.equal(distances[-1, 3], last)


@pytest.mark.parametrize("sources", [None, 2])
def test_sources_mix_in_the_decoder_alone(sources):
    block = Block(8, 5, 2, dropout=0.0, rate=4, sources=sources)
    x = torch.randn(4, 24, 8, requires_grad=True)
    block(x, torch.randn(6, 6, 4))[2].square().sum().backward()
    seen = x.grad.abs().sum((1, 2)) > 0
    assert seen.tolist() == [False, False, True, sources is not None]


def test_stages_halve_and_double_the_frames():
    network, shapes = SepReformer(2, **TINY), []
    for block in network.blocks:
        block.register_forward_hook(
            lambda block, x, y: shapes.append((y.shape[:2], block.rate))
        )
    network(torch.randn(3, 12 + 4 * 32))
    encoder = [((3, 32), 4), ((3, 16), 2), ((3, 8), 1)]
    decoder = [((6, 16), 2), ((6, 32), 4)]
    expected = [x for x in encoder for _ in range(2)]
    expected += [x for x in decoder for _ in range(3)]
    assert shapes == expected


def test_auxiliary_estimates_mask_the_mixture():
    network = SepReformer(2, **TINY)
    network(torch.zeros(1, 1000))
    assert not torch.stack(network.auxiliary).any()
    network.eval()(torch.zeros(1, 1000))
    assert network.auxiliary == []


@pytest.mark.parametrize(
    "sizes, message",
    [
        (dict(F=9), "F: expected a multiple of 2 .*found 9"),
        (dict(kernel_size=18), "kernel_size: expected a multiple of 4"),
        (dict(K=6), "K: expected an odd number, found 6"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        SepReformer(2, **{**TINY, **sizes})


@pytest.mark.parametrize(
    "epoch, weight",
    [(1, 0.4), (100, 0.4), (101, 0.32), (105, 0.32), (106, 0.256)],
)
def test_auxiliary_loss_is_a_weighted_mean(epoch, weight):
    output, *earlier, reference = torch.randn(4, 3, 500, 2)
    lengths = torch.tensor([1.0, 0.5, 0.8])
    network = SimpleNamespace(auxiliary=earlier)
    counter = SimpleNamespace(current=epoch)
    combined = AuxiliaryLoss(si_sdr_loss, network, counter)
    plain = [si_sdr_loss(x, reference, lengths) for x in (output, *earlier)]
    expected = (1 - weight) * plain[0] + weight * (plain[1] + plain[2]) / 2
    found = combined(output, reference, lengths)
    assert torch.allclose(found, expected, atol=1e-5)
    # They are taken once: no graph outlives its step.
    assert network.auxiliary == []
    assert torch.equal(combined(output, reference, lengths), plain[0])


def test_each_estimate_has_its_own_permutation():
    reference = torch.randn(1, 500, 2)
    network = SimpleNamespace(auxiliary=[reference.flip(-1)])
    counter = SimpleNamespace(current=1)
    loss = AuxiliaryLoss(si_sdr_loss, network, counter)
    assert loss(reference, reference) < -90


def test_the_yaml_gives_the_loss_its_network_and_epoch():
    hparams = hparams_of("sepreformer.yaml", task="SB", **TINY)
    loss = hparams["loss"]
    assert loss.network is hparams["separator"] is hparams["network"]
    assert loss.network is hparams["modules"]["separator"]
    assert loss.epoch_counter is hparams["epoch_counter"]
    mixture = torch.randn(1, 500)
    estimate = loss.network(mixture)
    loss(estimate, torch.randn(1, 500, 2)).mean().backward()
    heads = loss.network.auxiliary_outputs.parameters()
    assert all(parameter.grad.any() for parameter in heads)
