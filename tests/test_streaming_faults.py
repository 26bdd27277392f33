"""What a stream refuses and takes, and what it leaves as it is."""

import numpy as np
import pytest
import torch
from fast.convtasnet import Decoder, MaskNet
from streaming.streaming import StreamingSeparator
from test_convtasnet import network, pair
from test_streaming import CAUSAL, SIZES, nets, offline, signal_of, streamed

from speechbrain.lobes.models.dual_path import (
    Dual_Path_Model,
    SBTransformerBlock,
)


@pytest.fixture(scope="module")
def net():
    """A causal network with two outputs; no test changes it."""
    return nets()[0]


@pytest.mark.parametrize(
    "options, problem",
    [
        (dict(norm_type="gLN", causal=True), "GlobalLayerNorm and not by cLN"),
        (dict(norm_type="cLN", causal=False), "see the future"),
        (dict(), "GlobalLayerNorm"),
    ],
    ids=str,
)
def test_networks_that_are_not_causal_are_refused(options, problem):
    for masknet in pair(**options):
        with pytest.raises(ValueError, match=problem) as error:
            StreamingSeparator(network(masknet))
        assert "train hparams/convtasnet_causal.yaml" in str(error.value)


def test_other_networks_are_refused(net):
    block = SBTransformerBlock(1, 32, 2)
    masknet = Dual_Path_Model(32, 32, block, block, num_layers=1, K=10)
    with pytest.raises(ValueError, match="network is a Dual_Path_Model; train"):
        StreamingSeparator(network(masknet))
    masknet = network(MaskNet(**SIZES, **CAUSAL)).double()
    with pytest.raises(ValueError, match="float64 and not float32"):
        StreamingSeparator(masknet)
    separator = network(MaskNet(**SIZES, **CAUSAL))
    separator.decoder = Decoder(32, 1, kernel_size=16, stride=4)
    with pytest.raises(ValueError, match="another kernel or stride"):
        StreamingSeparator(separator)


@pytest.mark.parametrize(
    "samples, message",
    [
        (torch.tensor([0.0, float("nan")]), "sample 101 of the stream is nan"),
        (np.array([1.0, 0, -np.inf]), "sample 102 of the stream is -inf"),
        (np.array([1e300]), "sample 100 of the stream is inf"),
        (torch.zeros(1, 8), r"found torch.float32 of shape \[1, 8\]"),
        (torch.tensor(0.0), r"of shape \[\]"),
        (np.zeros(8, np.int16), r"found int16 of shape \[8\]"),
        (torch.zeros(8, dtype=torch.complex64), "found torch.complex64"),
        (torch.zeros(8, dtype=torch.bool), "found torch.bool"),
    ],
)
def test_wrong_samples_are_refused_and_the_stream_goes_on(
    net, samples, message
):
    signal = signal_of(300)
    stream = StreamingSeparator(net)
    first = stream.push(signal[:100])
    with pytest.raises(ValueError, match=message):
        stream.push(samples)
    found = torch.cat([first, stream.push(signal[100:]), stream.flush()])
    assert torch.allclose(found, offline(net, signal), atol=1e-5)


def test_a_stream_shorter_than_the_kernel_is_refused_at_its_end(net):
    stream = StreamingSeparator(net)
    for time in (0, 1, 15):
        assert stream.push(signal_of(time)).shape == (0, 2)
        with pytest.raises(ValueError, match=f"{time} samples .* kernel of 16"):
            stream.flush()
    signal = signal_of(16)
    assert torch.allclose(
        streamed(stream, signal, 16), offline(net, signal), atol=1e-5
    )
    with pytest.raises(ValueError, match="sample_rate: expected a positive"):
        stream.latency_ms(0)


def test_other_floats_and_arrays_are_taken(net):
    signal = signal_of(400).numpy()
    expected = offline(net, torch.from_numpy(signal))
    read_only = signal.copy()
    read_only.flags.writeable = False
    for samples in (
        signal.astype(np.float64),
        signal.astype(">f4"),
        signal[::-1].copy()[::-1],
        read_only,
        torch.from_numpy(signal).double(),
        torch.from_numpy(signal).requires_grad_(),
    ):
        stream = StreamingSeparator(net)
        found = torch.cat([stream.push(samples), stream.flush()])
        assert found.dtype == torch.float32 and not found.requires_grad
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_its_surroundings_stay_as_they_are(training):
    separator = nets()[0].train(training)
    before = {k: v.clone() for k, v in separator.state_dict().items()}
    signal = signal_of(400)
    kept = signal.clone()
    with torch.autocast("cpu", torch.bfloat16):
        found = streamed(StreamingSeparator(separator), signal, 100)
    assert torch.allclose(found, offline(separator, signal), atol=1e-5)
    assert torch.equal(signal, kept)
    assert torch.is_grad_enabled()
    assert all(m.training is training for m in separator.modules())
    for name, value in separator.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(
        p.grad is None and p.requires_grad for p in separator.parameters()
    )


def test_a_reset_takes_over_new_weights(net):
    separator = nets()[0]
    stream = StreamingSeparator(separator)
    torch.nn.init.normal_(separator.masknet.mask_conv1x1.conv.weight)
    for block in separator.masknet.temporal_conv_net.values():
        torch.nn.init.normal_(block.layers["DSconv"]["conv_0"].conv.weight)
    stream.reset()
    signal = signal_of(400)
    found = streamed(stream, signal, 50)
    assert torch.allclose(found, offline(separator, signal), atol=1e-4)
    assert not torch.allclose(found, offline(net, signal), atol=1e-2)


def test_silence_stays_finite(net):
    stream = StreamingSeparator(net)
    for signal in (torch.zeros(400), torch.ones(400) / 32768):
        assert streamed(stream, signal, 80).isfinite().all()
