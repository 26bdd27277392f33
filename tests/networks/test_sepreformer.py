"""Sizes and parts of SepReformer, and its auxiliary loss."""

from types import SimpleNamespace

import pytest
import torch
from losses import si_sdr_loss
from networks.auxiliary import AuxiliaryLoss
from networks.sepreformer import Attention, ItemNorm, SepReformer, shift
from recipe import hparams_of

TINY = dict(N=8, F=8, R=2, B_E=1, B_D=1, K=5, heads=2)
B = dict(N=256, F=128, R=4, B_E=2, B_D=3, K=65, heads=8)


def count(modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    "F, one, two, published",
    [
        (64, 3_885_248, 3_926_528, 3_711_488),
        (128, 14_527_104, 14_691_584, 14_147_840),
        (256, 56_159_744, 56_816_384, 55_222_016),
    ],
)
def test_published_sizes(F, one, two, published):
    """Papers leave out what only the auxiliary estimates need."""
    for num_spks, expected in ((1, one), (2, two)):
        with torch.device("meta"):
            network = SepReformer(num_spks, **{**B, "F": F})
        assert count([network]) == expected
    inner = count([*network.outputs[:-1], *network.decoders[:-1]])
    assert two - inner == published


@pytest.mark.parametrize(
    "size, message",
    [
        (dict(F=9), r"F: .* multiple of 2 \(heads\), found 9"),
        (dict(stride=5), r"kernel_size: .* of 5 \(stride\), found 16"),
        (dict(K=4), "K: expected an odd number of frames, found 4"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(size, message):
    with pytest.raises(ValueError, match=message):
        SepReformer(2, **{**TINY, **size})


def test_shift_picks_the_distance_of_each_pair():
    frames = 6
    products = torch.randn(2, 3, frames, 2 * frames - 1)
    found = shift(products)
    for i in range(frames):
        for j in range(frames):
            column = frames - 1 - (i - j)
            assert torch.equal(found[..., i, j], products[..., i, column])


def test_attention_sees_keys_and_distances():
    """The closed form, position by position."""
    torch.manual_seed(0)
    attention = Attention(4, heads=1, dropout=0.0)
    torch.nn.init.ones_(attention.scale)
    y, table = torch.randn(1, 3, 4), torch.randn(5, 4)
    query, key, value = attention.qkv(attention.norm(y))[0].chunk(3, -1)
    rows = []
    for i in range(3):
        scores = [query[i] @ (key[j] + table[2 - i + j]) / 2 for j in range(3)]
        rows.append(torch.stack(scores).softmax(0) @ value)
    expected = attention.out(torch.stack(rows))
    assert torch.allclose(attention(y, table)[0], expected, atol=1e-6)


def test_great_distances_count_as_the_greatest():
    torch.manual_seed(0)
    near, far = (
        SepReformer(1, **TINY, max_distance=limit).eval() for limit in (2, 200)
    )
    state = near.state_dict()
    rows = torch.arange(-200, 200).clamp(-2, 1) + 2
    state["distances.weight"] = state["distances.weight"][rows]
    far.load_state_dict(state)
    for block in (*near.blocks, *far.blocks):
        torch.nn.init.ones_(block.attention.scale)
    mixture = torch.randn(2, 400)
    with torch.no_grad():
        assert torch.allclose(near(mixture), far(mixture), atol=1e-6)


def test_item_norm_takes_all_frames_and_channels():
    x = 3 + 2 * torch.randn(2, 50, 4)
    y = ItemNorm(4)(x)
    assert y.mean((1, 2)).abs().max() < 1e-5
    assert torch.allclose(y.std((1, 2)), torch.ones(2), atol=1e-2)


def test_estimates_of_each_stage_in_training_alone():
    network = SepReformer(2, **TINY)
    assert network.eval()(torch.randn(1, 999)).shape == (1, 999, 2)
    assert network.auxiliary == []
    network.train()(torch.randn(1, 999))
    assert [x.shape for x in network.auxiliary] == [(1, 999, 2)] * 2


@pytest.mark.parametrize(
    "epoch, weight",
    [(1, 0.4), (100, 0.4), (101, 0.32), (105, 0.32), (106, 0.256)],
)
def test_the_weight_falls_late(epoch, weight):
    """The authors: 0.4 * 0.8^(1 + (epoch - 101) // 5) after epoch 100."""
    counter = SimpleNamespace(current=epoch)
    loss = AuxiliaryLoss(si_sdr_loss, None, counter)
    assert loss.current_weight() == pytest.approx(weight)


def test_auxiliary_loss_is_a_weighted_sum():
    estimate, reference, *inner = torch.randn(5, 2, 300, 2)
    lengths = torch.tensor([1.0, 0.5])
    network = SimpleNamespace(training=True, auxiliary=list(inner))
    counter = SimpleNamespace(current=3)
    loss = AuxiliaryLoss(si_sdr_loss, network, counter, weight=0.25)
    output, *stages = (
        si_sdr_loss(x, reference, lengths) for x in (estimate, *inner)
    )
    expected = 0.75 * output + 0.25 * sum(stages) / 3
    assert torch.allclose(loss(estimate, reference, lengths), expected)
    assert network.auxiliary == []
    assert torch.equal(loss(estimate, reference, lengths), output)
    network.training, network.auxiliary = False, list(inner)
    assert torch.equal(loss(estimate, reference, lengths), output)


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_a_weight_that_is_no_share_is_refused(weight):
    with pytest.raises(ValueError, match=f"weight: .*, found {weight}"):
        AuxiliaryLoss(si_sdr_loss, None, None, weight=weight)


def test_the_yaml_joins_loss_network_and_epochs():
    hparams = hparams_of("sepreformer.yaml", task="ES", **TINY)
    loss, network = hparams["loss"], hparams["separator"]
    assert loss.network is network
    assert loss.epoch_counter is hparams["epoch_counter"]
    hparams["epoch_counter"].current = 1
    estimate = network(torch.randn(2, 800))
    loss(estimate, torch.randn(2, 800, 1)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.auxiliary == []
