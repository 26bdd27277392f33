"""A stream gives the estimates of the whole signal as early as they are known."""

import pickle
import re

import numpy as np
import pytest
import torch
from fast.convtasnet import MaskNet
from inference.offset import RunningMean
from made_runs import CAUSAL, make_run, mask_networks
from recipe import SEPARATION
from separator import Separator
from streaming.streaming import StreamingSeparator

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder

SIZES = dict(N=32, B=8, H=8, P=3, X=2, R=1, C=2)
KERNEL, STRIDE = 16, 8


def separator_of(masknet, kernel=KERNEL, bias=False):
    """A separator around a mask network, the same at each call."""
    torch.manual_seed(1)
    decoder = Decoder(32, 1, kernel_size=kernel, stride=kernel // 2, bias=bias)
    return Separator(Encoder(kernel, 32), masknet, decoder).eval()


def nets(**options):
    """A network with fast and one with SpeechBrain's blocks, of the same weights."""
    pair = mask_networks(**{**SIZES, **options})
    return [separator_of(masknet) for masknet in pair]


@pytest.fixture(scope="module")
def net():
    """A causal network with two outputs; no test changes it."""
    return nets(**CAUSAL)[0]


def signal_of(time, seed=3):
    """Noise, [time]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, generator=generator)


def offline(separator, signal):
    """Forward pass of a whole signal less its running mean, [time, source]."""
    with torch.no_grad():
        return separator(RunningMean()(signal)[None])[0]


def streamed(stream, signal, block):
    """Output of a stream in blocks of a size, or of several, [time, source]."""
    parts = [stream.push(part) for part in signal.split(block)]
    return torch.cat([*parts, stream.flush()])


def same(found, expected):
    return torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [dict(C=1), dict(C=2, X=6), dict(P=5, C=2, mask_nonlinear="softmax")],
    ids=str,
)
def test_a_stream_is_speechbrains_network_on_the_whole(options):
    fast, stock = nets(**CAUSAL, **options)
    signal = torch.cat([torch.zeros(200), signal_of(1003)])
    expected = offline(stock, signal)
    assert expected[200:-8].abs().mean() > 0.01  # far above the tolerance
    assert not expected[-3:].any()  # after the last whole frame
    for separator in (fast, stock):
        for block in (1, 7, 8, 16, 333, 480, 1003):
            found = streamed(StreamingSeparator(separator), signal, block)
            assert found.shape == expected.shape and same(found, expected)


@pytest.mark.parametrize("kernel, bias", [(16, True), (21, True), (2, False)])
def test_other_kernels_a_bias_and_every_end(kernel, bias):
    separator = separator_of(MaskNet(**SIZES, **CAUSAL), kernel, bias)
    stream = StreamingSeparator(separator)
    for more in (0, 1, 9, 500):
        signal = signal_of(kernel + more)
        expected = offline(separator, signal)
        for block in (1, 13, 600):
            stream.push(signal)  # forgotten by the run
            parts = list(stream.run([signal], block))
            assert len(parts) == len(signal.split(block)) + 1
            assert same(torch.cat(parts), expected)


def test_a_long_stream_of_changing_blocks_keeps_no_more_memory(net):
    def n_bytes():
        """All that the stream keeps, but for the network."""
        kept = [v for v in vars(stream).values() if v is not net]
        return len(pickle.dumps(kept))

    stream, signal = StreamingSeparator(net), signal_of(60_000)
    before = n_bytes()
    sizes = torch.randint(0, 700, (150,), generator=torch.Generator()).tolist()
    sizes.append(len(signal) - sum(sizes))
    assert same(streamed(stream, signal, sizes), offline(net, signal))
    for size in (60_000, 700, 1):
        stream.push(signal[:size])
        assert n_bytes() < before + 1000


def test_estimates_come_as_soon_as_the_network_can_know_them(net):
    stream = StreamingSeparator(net)
    signal = signal_of(300)
    expected = offline(net, signal)
    delays, returned = [], 0
    for pushed in range(1, 201):
        returned += len(stream.push(signal[pushed - 1 : pushed]))
        delays.append(pushed - returned)
        # The next estimate, and no earlier one, still depends on the future.
        changed = signal.clone()
        changed[pushed:] += 0.1 * signal_of(300 - pushed, seed=pushed)
        other = offline(net, changed)
        assert torch.equal(other[:returned], expected[:returned])
        assert not torch.equal(other[returned], expected[returned])
    assert max(delays) == stream.latency_samples == 15


def test_streams_are_independent(net):
    signals = [signal_of(1000, seed) for seed in (1, 2)]
    expected = [offline(net, signal) for signal in signals]
    streams = [StreamingSeparator(net) for _ in signals]
    parts = [
        [stream.push(block) for stream, block in zip(streams, blocks)]
        for blocks in zip(*(signal.split(50) for signal in signals))
    ]
    parts.append([stream.flush() for stream in streams])
    for found, whole in zip(zip(*parts), expected):
        assert same(torch.cat(found), whole)
    streams[0].push(signals[1])
    streams[0].reset()
    for _ in range(2):  # after a reset, and after a flush
        assert same(streamed(streams[0], signals[0], 64), expected[0])


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
    assert same(torch.cat(played), expected)


def refused(problem, *separators):
    for separator in separators:
        with pytest.raises(ValueError, match=problem) as error:
            StreamingSeparator(separator)
        assert "--norm_type=cLN --causal=True" in str(error.value)


def test_networks_that_cannot_stream_are_refused(net):
    refused("read future frames", *nets(norm_type="cLN", causal=False))
    refused("GlobalLayerNorm", *nets())
    refused("network is a Identity; train", separator_of(torch.nn.Identity()))
    refused("float64 and not float32", nets(**CAUSAL)[0].double())
    separator = nets(**CAUSAL)[0]
    separator.decoder = Decoder(32, 1, kernel_size=16, stride=4)
    refused("another kernel or stride", separator)
    for part in ("norm", "act_0"):
        separator = nets(**CAUSAL)[1]
        *_, block = separator.masknet.temporal_conv_net.values()
        layers = block.layers if part == "norm" else block.layers["DSconv"]
        layers[part] = conv_tasnet.GlobalLayerNorm(8)
        refused("GlobalLayerNorm", separator)


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
    rest = streamed(stream, signal[100:], 200)
    assert same(torch.cat([first, rest]), offline(net, signal))


def test_a_stream_shorter_than_the_kernel_is_refused_at_its_end(net):
    stream = StreamingSeparator(net)
    for time in (0, 1, 15):
        assert stream.push(signal_of(time)).shape == (0, 2)
        with pytest.raises(ValueError, match=f"{time} samples .* kernel of 16"):
            stream.flush()
    assert len(streamed(stream, signal_of(16), 16)) == 16


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
        assert same(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_its_surroundings_stay_as_they_are(training):
    separator = nets(**CAUSAL)[0].train(training)
    before = {k: v.clone() for k, v in separator.state_dict().items()}
    signal = signal_of(400)
    kept = signal.clone()
    with torch.autocast("cpu", torch.bfloat16):
        found = streamed(StreamingSeparator(separator), signal, 100)
    assert same(found, offline(separator, signal))
    assert torch.equal(signal, kept) and torch.is_grad_enabled()
    assert all(m.training is training for m in separator.modules())
    state = separator.state_dict()
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert all(
        p.requires_grad and p.grad is None for p in separator.parameters()
    )


def test_a_reset_takes_over_new_weights(net):
    separator = nets(**CAUSAL)[0]
    stream = StreamingSeparator(separator)
    for name, parameter in separator.masknet.named_parameters():
        if "conv_0" in name or "mask" in name:
            torch.nn.init.normal_(parameter)
    stream.reset()
    signal = signal_of(400)
    found = streamed(stream, signal, 50)
    assert torch.allclose(found, offline(separator, signal), atol=1e-4)
    assert not torch.allclose(found, offline(net, signal), atol=1e-2)
