"""The network: sizes, lengths, agreement with SpeechBrain, half precision."""

import copy

import pytest
import torch
from recipe import hparams_of
from separator import Separator

from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.models.conv_tasnet import MaskNet
from speechbrain.lobes.models.dual_path import Decoder, Encoder

CAUSAL = dict(norm_type="cLN", causal=True)
NAMES = "encoder", "masknet", "decoder"


def parts(sources=2, **options):
    """A small stock network."""
    torch.manual_seed(0)
    modules = (
        Encoder(kernel_size=16, out_channels=32),
        MaskNet(32, 16, 32, 3, 3, 2, sources, **options),
        Decoder(32, 1, kernel_size=16, stride=8, bias=False),
    )
    return dict(zip(NAMES, modules))


def stock_forward(network, mixture, sources):
    """What speechbrain.inference.separation does with the same modules."""
    interface = SepformerSeparation(
        modules=network,
        hparams={"num_spks": sources, "sample_rate": 8000},
        run_opts={"device": "cpu"},
    )
    return interface.separate_batch(mixture)


# Of the published models; of the two other sizes to two decimals.
MILLIONS = [
    (dict(task="ES"), 8.643136),
    (dict(task="SB"), 8.708672),
    (dict(N=128, B=128, H=256, X=6, R=3), 1.25),
    pytest.param(
        dict(N=512, B=512, H=1024, R=5), 42.77, marks=pytest.mark.nightly
    ),
]


@pytest.mark.parametrize("overrides, millions", MILLIONS)
def test_parameter_counts(overrides, millions):
    network = hparams_of(**overrides)["separator"]
    counted = sum(p.numel() for p in network.parameters()) / 1e6
    decimals = len(str(millions).split(".")[1])
    assert round(counted, decimals) == millions


def test_another_stride_than_half_the_kernel_is_refused():
    network = parts()
    network["decoder"].stride = (4,)
    with pytest.raises(ValueError, match="expected 8 .* 16, found 4"):
        Separator(**network)


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("options", [{}, CAUSAL], ids=str)
@pytest.mark.parametrize("time", [200, 1001, 8000])
def test_estimates_are_those_of_speechbrains_inference(sources, options, time):
    network = parts(sources, **options)
    mixture = torch.randn(3, time)
    with torch.no_grad():
        expected = stock_forward(copy.deepcopy(network), mixture, sources)
        estimate = Separator(**network).eval()(mixture)
    assert estimate.shape == (3, time, sources)
    assert torch.allclose(estimate, expected.reshape(estimate.shape), atol=1e-5)


def test_a_kernel_is_the_shortest_mixture():
    network = parts()
    separator = Separator(**network)
    assert separator.min_samples == 16
    # A mask network that tells of a reach of 9 frames.
    network["masknet"].min_frames = 10
    assert separator.min_samples == 16 + 9 * 8
    causal = Separator(**parts(**CAUSAL)).eval()
    assert causal(torch.randn(1, 16)).shape == (1, 16, 2)
    with pytest.raises(ValueError, match="15 samples .* kernel of 16"):
        causal(torch.randn(1, 15))


def masks_of(masknet, encoder, mixture):
    """The stock masks under autocast to float16."""
    with torch.autocast("cpu", torch.float16):
        return masknet(encoder(mixture).half())


@pytest.mark.parametrize("options", [{}, CAUSAL], ids=str)
@pytest.mark.parametrize("kind", ["zeros", "half silent", "1 LSB", "noise"])
def test_training_in_float16_is_finite_where_the_stock_network_fails(
    options, kind
):
    mixture = 0.1 * torch.randn(1, 4000)
    if kind == "zeros":
        mixture.zero_()
    elif kind == "half silent":
        mixture[:, 2000:] = 0
    elif kind == "1 LSB":
        mixture = mixture.sign() / 32768
    stock = parts(**options)
    masks = masks_of(stock["masknet"], stock["encoder"], mixture)
    # An EPS of 1e-8 and small variances are zero in float16.
    assert masks.isfinite().all() == (kind == "noise" and not options)
    separator = Separator(**stock)
    with torch.autocast("cpu", torch.float16):
        estimate = separator(mixture)
    assert estimate.isfinite().all()
    estimate.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in separator.parameters())


def test_causal_network_does_not_see_the_future():
    separator = Separator(**parts(**CAUSAL)).eval()
    mixture = torch.randn(1, 4000)
    changed = mixture.clone()
    changed[:, 2000:] += 1
    with torch.no_grad():
        before, after = separator(mixture), separator(changed)
    assert torch.equal(before[:, :1984], after[:, :1984])
    assert not torch.allclose(before[:, 2000:], after[:, 2000:])
