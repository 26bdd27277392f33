"""The selective scan is a plain loop, and the Mamba block its equations."""

import logging

import pytest
import torch
import torch.nn.functional as F
from networks import scan
from networks.scan import CHUNK, Mamba, Recurrence, selective_scan


def loop(x, delta, A, B, C):
    """The selective scan, step by step."""
    state = torch.zeros(x.shape[0], x.shape[2], A.shape[1], dtype=delta.dtype)
    outputs = []
    for t in range(x.shape[1]):
        dt = F.softplus(delta[:, t])
        drive = torch.einsum("sc,sn->scn", dt * x[:, t], B[:, t])
        state = torch.exp(torch.einsum("sc,cn->scn", dt, A)) * state + drive
        outputs.append(torch.einsum("scn,sn->sc", state, C[:, t]))
    return torch.stack(outputs, 1)


def signals(sequences, steps, channels, states, dtype=torch.float64):
    """Inputs of a scan that take gradients."""
    shapes = [(sequences, steps, channels)] * 2
    shapes += [(channels, states)] + [(sequences, steps, states)] * 2
    drawn = [torch.randn(shape, dtype=dtype) for shape in shapes]
    drawn[2] = -drawn[2].exp()
    return [signal.requires_grad_() for signal in drawn]


@pytest.mark.parametrize("steps", [1, CHUNK - 1, CHUNK, CHUNK + 1, 50])
def test_the_scan_and_its_gradient_are_those_of_a_loop(steps):
    inputs = signals(2, steps, 3, 4)
    weight = torch.randn(2, steps, 3, dtype=torch.float64)
    pairs = []
    for function in (selective_scan, loop):
        y = function(*inputs)
        pairs.append([y, *torch.autograd.grad((weight * y).sum(), inputs)])
    for found, expected in zip(*pairs):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_finite_differences():
    x, delta, A, B, C = signals(2, CHUNK + 3, 2, 2)
    x, delta, B, C = (
        s.detach().transpose(0, 1).requires_grad_() for s in (x, delta, B, C)
    )
    assert torch.autograd.gradcheck(Recurrence.apply, (x, delta, A, B, C))


def test_no_state_is_stored_but_one_a_chunk():
    inputs, sizes = signals(2, 4 * CHUNK, 64, 4), []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    ):
        selective_scan(*inputs)
    assert 4 * 2 * 64 * 4 in sizes
    assert max(sizes) == inputs[0].numel()


def test_a_half_precision_input_is_scanned_in_float32():
    x, delta, A, B, C = signals(2, 40, 3, 4, torch.float32)
    halves = [signal.bfloat16() for signal in (x, B, C)]
    x, B, C = (signal.float() for signal in halves)
    with torch.autocast("cpu", torch.bfloat16):
        found = selective_scan(halves[0], delta, A, *halves[1:])
    assert found.dtype == torch.float32
    assert torch.allclose(found, loop(x, delta, A, B, C), atol=1e-5)


def test_the_kernel_gets_steps_last(monkeypatch):
    def kernel(u, delta, A, B, C, delta_softplus):
        assert delta_softplus
        return loop(u.mT, delta.mT, A, B.mT, C.mT).mT

    monkeypatch.setattr(scan, "_kernel", lambda device: kernel)
    inputs = signals(2, 20, 3, 4, torch.float32)
    assert torch.allclose(selective_scan(*inputs), loop(*inputs), atol=1e-6)


def test_a_slow_scan_tells_its_duration_once(monkeypatch, caplog):
    monkeypatch.setattr(scan, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(scan, "_told", [])
    inputs = signals(1, 100, 2, 2)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            selective_scan(*inputs)
    assert caplog.text.count("scan of 100 steps takes about") == 1


def test_a_fast_scan_tells_nothing(monkeypatch, caplog):
    monkeypatch.setattr(scan, "_told", [])
    with caplog.at_level(logging.WARNING):
        selective_scan(*signals(1, 100, 2, 2))
    assert not caplog.text


def test_the_block_is_causal_and_computes_its_equations():
    block = Mamba(5, d_state=3, d_conv=4, expand=2)
    signal = torch.randn(2, 30, 5)
    x, gate = (signal @ block.in_proj.weight.T).split(10, -1)
    taps = block.conv.weight[:, 0]
    padded = F.pad(x, (0, 0, 3, 0))
    x = sum(taps[:, k] * padded[:, k : k + 30] for k in range(4))
    x = F.silu(x + block.conv.bias)
    low, B, C = (x @ block.x_proj.weight.T).split([1, 3, 3], -1)
    delta = low * block.dt_proj.weight[:, 0] + block.dt_proj.bias
    y = loop(x, delta, -block.A_log.exp(), B, C) + block.D * x
    expected = (y * F.silu(gate)) @ block.out_proj.weight.T
    found = block(signal)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(block(signal[:, :9]), found[:, :9], atol=1e-6)


def test_step_sizes_start_between_a_thousandth_and_a_tenth():
    steps = F.softplus(Mamba(64).dt_proj.bias)
    assert 0.00099 < steps.min() < 0.01 < steps.max() < 0.101
