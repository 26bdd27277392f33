"""The network: sizes, lengths, agreement with SpeechBrain, half precision."""

import copy

import pytest
import torch
from recipe import hparams_of
from separator import Separator

from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.models.conv_tasnet import (
    ChannelwiseLayerNorm,
    GlobalLayerNorm,
    MaskNet,
)
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
    pytest.param(dict(task="EB"), 8.643136, marks=pytest.mark.nightly),
    pytest.param(CAUSAL, 8.643136, marks=pytest.mark.nightly),
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


def test_gradients_are_those_of_the_stock_modules():
    stock, cured = parts(), Separator(**parts())
    mixture = torch.randn(2, 1600)
    features = stock["encoder"](mixture)
    masked = (features * stock["masknet"](features)).flatten(0, 1)
    stock["decoder"](masked).square().mean().backward()
    # mean over [2 x 2, 1600] alike
    cured(mixture).square().mean().backward()
    found = dict(cured.named_parameters())
    for name, module in stock.items():
        for key, parameter in module.named_parameters():
            gradient = found[f"{name}.{key}"].grad
            assert torch.allclose(
                parameter.grad, gradient, rtol=1e-3, atol=1e-7
            ), key


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


def signal_of(kind, *shape):
    """Noise, in parts or wholly silent, or of a single bit."""
    torch.manual_seed(0)
    signal = 0.1 * torch.randn(*shape)
    if kind == "zeros":
        return torch.zeros_like(signal)
    if kind == "half silent":
        signal[:, shape[1] // 2 :] = 0
    return signal.sign() / 32768 if kind == "1 LSB" else signal


@pytest.mark.parametrize("norm", [GlobalLayerNorm, ChannelwiseLayerNorm])
@pytest.mark.parametrize("kind", ["zeros", "half silent", "1 LSB", "noise"])
def test_norms_fail_in_float16_without_the_cure_and_not_with_it(norm, kind):
    y = signal_of(kind, 2, 50, 16)
    stock = norm(16)
    network = parts()
    network["masknet"].layer_norm = cured = copy.deepcopy(stock)
    Separator(**network)
    assert torch.allclose(cured(y), stock(y), atol=1e-5)
    half = y.half().requires_grad_()
    in_half = cured(half)
    in_half.square().sum().backward()
    assert in_half.isfinite().all() and half.grad.isfinite().all()
    assert torch.allclose(in_half, stock(half.float()), atol=1e-4)
    # The failure: an EPS of 1e-8 and small variances are zero in float16.
    has_no_variance = kind in ("zeros", "1 LSB") or (
        kind == "half silent" and norm is ChannelwiseLayerNorm
    )
    assert stock(y.half()).isfinite().all() == (not has_no_variance)


@pytest.mark.parametrize("kind", ["zeros", "half silent", "1 LSB", "noise"])
def test_training_step_in_float16_autocast_is_finite(kind):
    mixture = signal_of(kind, 1, 4000)
    separator = Separator(**parts())
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
