"""A stream gives what the whole signal gives, as early as it can be known."""

from pathlib import Path

import pytest
import torch
from fast.convtasnet import Decoder, Encoder, MaskNet
from recipe import SAMPLES, SEPARATION, hparams_of
from separator import Separator
from streaming.streaming import StreamingSeparator
from test_convtasnet import network, pair
from test_train import succeed

from speechbrain.dataio import audio_io

CAUSAL = dict(norm_type="cLN", causal=True)
SIZES = dict(N=32, B=8, H=8, P=3, X=2, R=1, C=2)
KERNEL, STRIDE = 16, 8  # of ``network``
KINDS = [
    dict(P=3, C=1),
    dict(P=3, C=2),
    dict(P=5, C=1),
    dict(P=5, C=2, mask_nonlinear="softmax"),
]


def nets(**options):
    """A network with fast and one with stock blocks, of the same weights."""
    return [network(part).eval() for part in pair(**CAUSAL, **options)]


@pytest.fixture(scope="module")
def net():
    """A causal network with two outputs; no test changes it."""
    return nets()[0]


def signal_of(time, seed=3):
    """Noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, generator=generator)


def offline(separator, signal):
    """What the forward pass makes of a whole signal, [time, source]."""
    with torch.no_grad():
        return separator(signal[None])[0]


def streamed(stream, signal, block):
    """What a stream makes of it in blocks of a size."""
    parts = [stream.push(part) for part in signal.split(block)]
    return torch.cat([*parts, stream.flush()])


def known(pushed):
    """How many estimates a network can know, from frames alone."""
    frames = [f for f in range(pushed) if f * STRIDE + KERNEL <= pushed]
    return len(frames) * STRIDE


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("block", [1, 7, 8, 16, 333, 1003])
def test_a_stream_is_speechbrains_network_on_the_whole(options, block):
    fast, stock = nets(**options)
    signal = signal_of(1003)
    expected = offline(stock, signal)
    assert expected[:-8].abs().mean() > 0.01  # far above the tolerance
    assert not expected[-3:].any()  # behind the last whole frame
    for separator in (fast, stock):
        found = streamed(StreamingSeparator(separator), signal, block)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5
        assert (found - offline(separator, signal)).abs().max() < 1e-5


@pytest.mark.parametrize("kernel, bias", [(16, True), (21, True), (2, False)])
@pytest.mark.parametrize("time", [0, 1, 9, 500])  # more than a kernel
def test_other_kernels_a_bias_and_every_end(kernel, bias, time):
    torch.manual_seed(0)
    separator = Separator(
        Encoder(kernel, 32),
        MaskNet(**SIZES, **CAUSAL),
        Decoder(32, 1, kernel_size=kernel, stride=kernel // 2, bias=bias),
    )
    signal = signal_of(kernel + time)
    expected = offline(separator, signal)
    for block in (1, 13, 600):
        found = streamed(StreamingSeparator(separator), signal, block)
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_long_stream_of_changing_blocks_does_not_drift(net):
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
    latency = stream.latency_samples
    assert latency == 15 and stream.latency_ms(8000) == 1.875
    signal = signal_of(300)
    expected = offline(net, signal)
    behind = []
    returned = 0
    for pushed in range(1, 201):
        returned += len(stream.push(signal[pushed - 1 : pushed]))
        assert returned == known(pushed)
        behind.append(pushed - returned)
        # The next estimate is not known yet: the future moves it, and it alone.
        changed = signal.clone()
        changed[pushed:] += 0.1 * signal_of(300 - pushed, seed=pushed)
        other = offline(net, changed)
        assert torch.equal(other[:returned], expected[:returned])
        assert not torch.equal(other[returned], expected[returned])
    # No estimate comes later than said, and some as late.
    assert max(behind) == latency


def test_a_stream_does_not_see_the_future_and_hears_the_past(net):
    signal = signal_of(2000)
    changed = signal.clone()
    changed[1000:] = 0
    streams = StreamingSeparator(net), StreamingSeparator(net)
    found = [streamed(s, x, 100) for s, x in zip(streams, (signal, changed))]
    first = known(1000)
    assert torch.equal(found[0][:first], found[1][:first])
    assert not torch.equal(found[0][first], found[1][first])
    # The carried past counts: without it the rest is another.
    stream = StreamingSeparator(net)
    rest = streamed(stream, signal[1000:], 100)
    assert (rest[50:100] - found[0][1050:1100]).abs().max() > 1e-3


def test_a_network_that_is_not_causal_sees_the_future():
    """Negative control of the test above."""
    separator = network(pair(norm_type="cLN")[0])
    signal = signal_of(2000)
    changed = signal.clone()
    changed[1000:] = 0
    before, after = (offline(separator, x) for x in (signal, changed))
    assert not torch.equal(before[: known(1000)], after[: known(1000)])


def test_two_streams_and_a_stream_after_another_know_nothing_of_each_other(net):
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


@pytest.mark.parametrize("implementation", ["fast", "stock"])
@pytest.mark.parametrize("task", ["ES", "SB"])
def test_the_causal_yaml_makes_a_network_that_streams(implementation, task):
    hparams = hparams_of(
        "convtasnet_causal.yaml",
        implementation=implementation,
        task=task,
        **dict(N=16, B=8, H=8, X=3, R=1),
    )
    signal = signal_of(1000)
    stream = StreamingSeparator(hparams["separator"])
    expected = offline(hparams["separator"], signal)
    assert expected.shape == (1000, 1 if task == "ES" else 2)
    assert torch.allclose(streamed(stream, signal, 64), expected, atol=1e-5)


@pytest.mark.slow
def test_a_model_that_the_causal_yaml_trained_streams_as_in_the_readme(
    tmp_path, monkeypatch
):
    run = "results/convtasnet_causal_ES/1234"
    succeed(tmp_path / run, "--metrics=[si_sdr]", name="convtasnet_causal.yaml")
    assert (tmp_path / run / "test_summary.md").is_file()
    readme = (SEPARATION / "README.md").read_text(encoding="utf-8")
    example = readme.split("### Live audio")[1].split("```")[1]
    path = next((SAMPLES / "test/mix").glob("*.wav"))
    signal, played = audio_io.load(path)[0][0], []
    names = {"microphone": signal.split(64), "play": played.append}
    monkeypatch.chdir(tmp_path)
    exec(example.removeprefix("python\n"), names)
    separator = names["stream"].separator
    weights = separator.encoder.conv1d.weight
    trained = map(torch.load, Path(run).glob("save/CKPT*/encoder.ckpt"))
    assert any(torch.equal(w["conv1d.weight"], weights) for w in trained)
    assert len(played) == len(names["microphone"]) + 1
    expected = offline(separator, signal)
    assert torch.allclose(torch.cat(played), expected, atol=1e-5)
