"""A stream gives the estimates of the whole signal as early as they are known."""

import re

import numpy as np
import pytest
import torch
from fast.convtasnet import MaskNet
from inference.trained import load_trained
from made_runs import CAUSAL, make_run
from recipe import SEPARATION
from separator import Separator
from streaming.streaming import StreamingSeparator

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import (
    Decoder,
    Dual_Path_Model,
    Encoder,
    SBTransformerBlock,
)

SIZES = dict(N=32, B=8, H=8, P=3, X=2, R=1, C=2)
KERNEL, STRIDE = 16, 8
KINDS = [
    dict(P=3, C=1),
    dict(P=3, C=2),
    dict(P=5, C=1),
    dict(P=5, C=2, mask_nonlinear="softmax"),
]


def separator_of(masknet, kernel=KERNEL, bias=False):
    """A separator around a mask network, the same at each call."""
    torch.manual_seed(1)
    decoder = Decoder(32, 1, kernel_size=kernel, stride=kernel // 2, bias=bias)
    return Separator(Encoder(kernel, 32), masknet, decoder).eval()


def nets(**options):
    """A network with fast and one with SpeechBrain's blocks, of the same weights."""
    torch.manual_seed(0)
    options = {**SIZES, **options}
    stock = conv_tasnet.MaskNet(**options)
    for name, parameter in stock.named_parameters():
        if "conv" not in name.rsplit(".", 2)[-2]:
            # Gains, offsets and slopes begin as constants, which hide errors.
            parameter.data += 0.2 * torch.randn_like(parameter)
    fast = MaskNet(**options)
    fast.load_state_dict(stock.state_dict())
    return [separator_of(masknet) for masknet in (fast, stock)]


@pytest.fixture(scope="module")
def net():
    """A causal network with two outputs; no test changes it."""
    return nets(**CAUSAL)[0]


def signal_of(time, seed=3):
    """Noise, [time]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, generator=generator)


def offline(separator, signal):
    """Forward pass of a whole signal, [time, source]."""
    with torch.no_grad():
        return separator(signal[None])[0]


def streamed(stream, signal, block):
    """Output of a stream in blocks of a size, [time, source]."""
    parts = [stream.push(part) for part in signal.split(block)]
    return torch.cat([*parts, stream.flush()])


def known(pushed):
    """Number of estimates that depend on the pushed samples alone."""
    frames = [f for f in range(pushed) if f * STRIDE + KERNEL <= pushed]
    return len(frames) * STRIDE


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("block", [1, 7, 8, 16, 333, 1003])
def test_a_stream_is_speechbrains_network_on_the_whole(options, block):
    fast, stock = nets(**CAUSAL, **options)
    signal = signal_of(1003)
    expected = offline(stock, signal)
    assert expected[:-8].abs().mean() > 0.01  # far above the tolerance
    assert not expected[-3:].any()  # after the last whole frame
    for separator in (fast, stock):
        found = streamed(StreamingSeparator(separator), signal, block)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5
        assert (found - offline(separator, signal)).abs().max() < 1e-5


@pytest.mark.parametrize("kernel, bias", [(16, True), (21, True), (2, False)])
@pytest.mark.parametrize("time", [0, 1, 9, 500])  # more than a kernel
def test_other_kernels_a_bias_and_every_end(kernel, bias, time):
    separator = separator_of(MaskNet(**SIZES, **CAUSAL), kernel, bias)
    signal = signal_of(kernel + time)
    expected = offline(separator, signal)
    stream = StreamingSeparator(separator)
    for block in (1, 13, 600):
        found = torch.cat(list(stream.run([signal], block)))
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_long_stream_of_changing_blocks_keeps_no_more_memory(net):
    signal = signal_of(24_000)
    sizes = torch.randint(0, 700, (200,), generator=torch.Generator())
    stream, at, parts = StreamingSeparator(net), 0, []
    memory = kept_numbers(stream)
    for size in sizes.tolist():
        parts.append(stream.push(signal[at : at + size]))
        at += size
    assert at > len(signal)
    parts.append(stream.flush())
    expected = offline(net, signal)
    assert (torch.cat(parts) - expected).abs().max() < 1e-5
    stream.push(signal)
    assert kept_numbers(stream) <= memory + KERNEL + STRIDE


def kept_numbers(stream):
    """How many numbers a stream keeps."""
    kept = [block.past.memory for block in stream._blocks]
    kept += [stream._samples, stream._tail]
    return sum(len(tensor.untyped_storage()) // 4 for tensor in kept)


def test_estimates_come_as_soon_as_the_network_can_know_them(net):
    stream = StreamingSeparator(net)
    assert stream.latency_samples == 15
    signal = signal_of(300)
    expected = offline(net, signal)
    delays = []
    returned = 0
    for pushed in range(1, 201):
        returned += len(stream.push(signal[pushed - 1 : pushed]))
        assert returned == known(pushed)
        delays.append(pushed - returned)
        # The next estimate, and no earlier one, still depends on the future.
        changed = signal.clone()
        changed[pushed:] += 0.1 * signal_of(300 - pushed, seed=pushed)
        other = offline(net, changed)
        assert torch.equal(other[:returned], expected[:returned])
        assert not torch.equal(other[returned], expected[returned])
    assert max(delays) == stream.latency_samples


def test_a_stream_depends_on_the_past(net):
    signal = signal_of(2000)
    whole = streamed(StreamingSeparator(net), signal, 100)
    rest = streamed(StreamingSeparator(net), signal[1000:], 100)
    assert (rest[50:100] - whole[1050:1100]).abs().max() > 1e-3


def test_a_network_that_is_not_causal_depends_on_the_future():
    """Negative control of the test of the delay."""
    separator = nets()[0]
    signal = signal_of(2000)
    changed = signal.clone()
    changed[1000:] = 0
    before, after = (offline(separator, x) for x in (signal, changed))
    assert not torch.equal(before[: known(1000)], after[: known(1000)])


def test_streams_are_independent_of_each_other(net):
    signals = signal_of(1000, seed=1), signal_of(1000, seed=2)
    expected = [offline(net, signal) for signal in signals]
    streams = StreamingSeparator(net), StreamingSeparator(net)
    parts = [], []
    for at in range(0, 1000, 50):
        for number in (0, 1):
            block = signals[number][at : at + 50]
            parts[number].append(streams[number].push(block))
    for number in (0, 1):
        found = torch.cat([*parts[number], streams[number].flush()])
        assert torch.allclose(found, expected[number], atol=1e-5)
    streams[0].push(signals[1])
    streams[0].reset()
    found = streamed(streams[0], signals[0], 64)  # after a reset and flush
    assert torch.allclose(found, expected[0], atol=1e-5)


@pytest.mark.parametrize("task", ["ES", "SB"])
def test_the_example_of_the_readme_streams_a_causal_run(
    tmp_path, monkeypatch, task
):
    readme = (SEPARATION / "README.md").read_text(encoding="utf-8")
    example = readme.split("### Live audio")[1].split("```python\n")[1]
    example = example.split("```")[0]
    (run,) = re.findall(r'"(results/.*?)"', example)
    net = make_run(tmp_path / run, task, **CAUSAL)
    signal, played = signal_of(1000), []
    names = {"microphone": signal.split(64), "play": played.append}
    monkeypatch.chdir(tmp_path)
    exec(example, names)
    assert len(played) == len(names["microphone"]) + 1
    expected = offline(net, signal)
    assert expected.shape == (1000, 1 if task == "ES" else 2)
    assert torch.allclose(torch.cat(played), expected, atol=1e-5)
    assert load_trained(run).task == task


@pytest.mark.parametrize(
    "options, problem",
    [
        (dict(norm_type="cLN", causal=False), "read future frames"),
        (dict(), "GlobalLayerNorm"),
    ],
    ids=str,
)
def test_networks_that_are_not_causal_are_refused(options, problem):
    for separator in nets(**options):
        with pytest.raises(ValueError, match=problem) as error:
            StreamingSeparator(separator)
        assert "--norm_type=cLN --causal=True" in str(error.value)


def test_other_networks_are_refused():
    block = SBTransformerBlock(1, 32, 2)
    masknet = Dual_Path_Model(32, 32, block, block, num_layers=1, K=10)
    with pytest.raises(ValueError, match="network is a Dual_Path_Model; train"):
        StreamingSeparator(separator_of(masknet))
    with pytest.raises(ValueError, match="float64 and not float32"):
        StreamingSeparator(separator_of(MaskNet(**SIZES, **CAUSAL)).double())
    separator = separator_of(MaskNet(**SIZES, **CAUSAL))
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


def test_other_floats_and_arrays_are_accepted(net):
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
    separator = nets(**CAUSAL)[0].train(training)
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
    separator = nets(**CAUSAL)[0]
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
