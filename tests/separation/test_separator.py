"""The network: sizes, lengths, agreement with SpeechBrain, half precision."""

import copy

import pytest
import torch
from checkpoints.weights import load_weights
from recipe import hparams_of
from separator import Separator, _norms_in_float32

from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.models.conv_tasnet import (
    ChannelwiseLayerNorm,
    GlobalLayerNorm,
    MaskNet,
)
from speechbrain.lobes.models.dual_path import Decoder, Encoder
from speechbrain.utils.checkpoints import Checkpointer


def parts(sources=2, norm_type="gLN", causal=False):
    """A small stock network."""
    torch.manual_seed(0)
    return {
        "encoder": Encoder(kernel_size=16, out_channels=32),
        "masknet": MaskNet(
            32, 16, 32, 3, 3, 2, sources, norm_type=norm_type, causal=causal
        ),
        "decoder": Decoder(
            in_channels=32,
            out_channels=1,
            kernel_size=16,
            stride=8,
            bias=False,
        ),
    }


def stock_forward(network, mixture, sources):
    """What speechbrain.inference.separation does with the same modules."""
    interface = SepformerSeparation(
        modules={k: network[k] for k in ("encoder", "masknet", "decoder")},
        hparams={"num_spks": sources, "sample_rate": 8000},
        run_opts={"device": "cpu"},
    )
    return interface.separate_batch(mixture)


SMALL = dict(N=128, B=128, H=256, X=6, R=3)
LARGE = dict(N=512, B=512, H=1024, R=5)
CAUSAL = dict(norm_type="cLN", causal=True)


@pytest.mark.parametrize(
    "overrides, parameters",
    [
        ({"task": "ES"}, 8_643_136),
        ({"task": "EB"}, 8_643_136),
        ({"task": "SB"}, 8_708_672),
        ({"task": "ES", **CAUSAL}, 8_643_136),
    ],
)
def test_parameter_counts_of_the_published_models(overrides, parameters):
    hparams = hparams_of(**overrides)
    counted = sum(p.numel() for p in hparams["separator"].parameters())
    assert counted == parameters


@pytest.mark.parametrize("overrides, millions", [(SMALL, 1.25), (LARGE, 42.77)])
def test_parameter_counts_of_the_other_sizes(overrides, millions):
    hparams = hparams_of(**overrides)
    counted = sum(p.numel() for p in hparams["separator"].parameters())
    assert round(counted / 1e6, 2) == millions


def test_another_stride_than_half_the_kernel_is_refused():
    network = parts()
    network["decoder"].stride = (4,)
    with pytest.raises(ValueError, match="expected 8 .* 16, found 4"):
        Separator(**network)


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("norm_type, causal", [("gLN", False), ("cLN", True)])
@pytest.mark.parametrize("time", [200, 1001, 8000])
def test_equals_speechbrains_inference(sources, norm_type, causal, time):
    network = parts(sources, norm_type, causal)
    mixture = torch.randn(2, time)
    with torch.no_grad():
        expected = stock_forward(copy.deepcopy(network), mixture, sources)
        estimate = Separator(**network).eval()(mixture)
    expected = expected.reshape(estimate.shape)
    assert torch.allclose(estimate, expected, atol=1e-5)


def test_gradients_equal_those_of_the_stock_modules():
    stock, cured = parts(), Separator(**parts())
    mixture = torch.randn(2, 1600)
    features = stock["encoder"](mixture)
    masked = (features * stock["masknet"](features)).flatten(0, 1)
    stock["decoder"](masked).square().mean().backward()
    # mean over [2 x 2, 1600] alike
    cured(mixture).square().mean().backward()
    for name, module in stock.items():
        other = dict(getattr(cured, name).named_parameters())
        for key, parameter in module.named_parameters():
            assert torch.allclose(
                parameter.grad, other[key].grad, rtol=1e-3, atol=1e-7
            ), key


def test_mixture_shorter_than_the_kernel_is_refused():
    with pytest.raises(ValueError, match="15 samples .* kernel of 16"):
        Separator(**parts())(torch.randn(1, 15))


@pytest.mark.parametrize("norm", [GlobalLayerNorm, ChannelwiseLayerNorm])
@pytest.mark.parametrize("signal", ["zeros", "zero frames", "quiet", "normal"])
def test_norms_fail_in_float16_without_the_cure_and_not_with_it(norm, signal):
    torch.manual_seed(0)
    y = torch.randn(2, 50, 16).relu()
    if signal == "zeros":
        y = torch.zeros_like(y)
    elif signal == "zero frames":
        y[:, 20:40] = 0
    elif signal == "quiet":
        y = y * 2**-15  # 1 LSB
    stock = norm(16)
    cured = copy.deepcopy(stock)
    _norms_in_float32(torch.nn.Sequential(cured))
    assert torch.allclose(cured(y), stock(y), atol=1e-5)
    half = y.half()
    in_half = cured(half.requires_grad_())
    in_half.square().sum().backward()
    assert in_half.isfinite().all() and half.grad.isfinite().all()
    assert torch.allclose(in_half, stock(half.float()), atol=1e-4)
    # The failure: an EPS of 1e-8 and small variances are zero in float16.
    broken = stock(y.half())
    frames_without_variance = signal in ("zeros", "quiet") or (
        signal == "zero frames" and norm is ChannelwiseLayerNorm
    )
    assert broken.isfinite().all() == (not frames_without_variance)


@pytest.mark.parametrize("signal", ["zeros", "half silent", "1 LSB", "speech"])
def test_training_step_in_float16_autocast_is_finite(signal):
    torch.manual_seed(0)
    mixture = 0.1 * torch.randn(1, 4000)
    if signal == "zeros":
        mixture = torch.zeros_like(mixture)
    elif signal == "half silent":
        mixture[:, 2000:] = 0
    elif signal == "1 LSB":
        mixture = mixture.sign() / 32768
    separator = Separator(**parts())
    with torch.autocast("cpu", torch.float16):
        estimate = separator(mixture)
    assert estimate.isfinite().all()
    estimate.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in separator.parameters())


def test_stock_network_gives_nan_on_silence_in_float16():
    """Negative control of the test above."""
    network = parts()
    mixture = 0.1 * torch.randn(1, 4000)
    mixture[:, 2000:] = 0
    with torch.autocast("cpu", torch.float16):
        features = network["encoder"](mixture)
        assert network["masknet"](features.half()).isnan().any()


def test_causal_network_does_not_see_the_future():
    separator = Separator(**parts(norm_type="cLN", causal=True)).eval()
    mixture = torch.randn(1, 4000)
    changed = mixture.clone()
    changed[:, 2000:] += 1
    with torch.no_grad():
        before, after = separator(mixture), separator(changed)
    assert torch.equal(before[:, :1984], after[:, :1984])
    assert not torch.allclose(before[:, 2000:], after[:, 2000:])


def test_weights_are_those_of_the_best_checkpoint(tmp_path):
    saved = Separator(**parts())
    names = ("encoder", "masknet", "decoder")
    checkpointer = Checkpointer(
        tmp_path, {name: getattr(saved, name) for name in names}
    )
    for si_sdri, value in ((3.0, 0.5), (1.0, 0.1)):
        torch.nn.init.constant_(saved.encoder.conv1d.weight, value)
        checkpointer.save_checkpoint(meta={"si_sdri": si_sdri})
    loaded = Separator(**parts())
    load_weights(loaded, tmp_path)
    assert torch.all(loaded.encoder.conv1d.weight == 0.5)
    newest = checkpointer.find_checkpoint().path
    load_weights(loaded, newest)
    assert torch.all(loaded.encoder.conv1d.weight == 0.1)
    with pytest.raises(ValueError, match="another size or number of outputs"):
        load_weights(Separator(**parts(sources=1)), tmp_path)
    with pytest.raises(ValueError, match="neither a checkpoint nor"):
        load_weights(loaded, tmp_path / "nothing")
