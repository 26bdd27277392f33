"""Compiling: one graph for a training, the same result, a way without."""

import copy
import logging

import pytest
import torch
from test_convtasnet import distance, network, pair


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Forgets what was compiled before."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs():
    """How many were compiled since the test began."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize(
    "options", [dict(), dict(norm_type="cLN", causal=True)], ids=str
)
def test_compiled_and_not_are_alike_with_one_graph_for_all_batches(options):
    plain = network(pair(**options)[0])
    compiled = copy.deepcopy(plain)
    compiled.compile_training(backend="aot_eager", fullgraph=True)
    for batch in (4, 4, 3, 4):  # the last one of an epoch is smaller
        mixture = torch.randn(batch, 800)
        estimates = [net(mixture) for net in (compiled, plain)]
        assert estimates[0].shape == estimates[1].shape
        assert distance(*estimates) < 1e-5
        for net, estimate in zip((compiled, plain), estimates):
            net.zero_grad()
            estimate.square().sum().backward()
        for one, other in zip(compiled.parameters(), plain.parameters()):
            assert distance(one.grad, other.grad) < 1e-4
        # Validation, between the epochs.
        compiled.eval()
        with torch.no_grad():
            for time in (500, 700, 900):
                compiled(torch.randn(1, time))
        compiled.train()
    assert graphs() == 1


def test_half_precision_is_compiled_too():
    plain = network(pair()[0])
    compiled = copy.deepcopy(plain)
    compiled.compile_training(backend="aot_eager")
    mixture = torch.randn(2, 800)
    with torch.autocast("cpu", torch.bfloat16):
        estimates = [net(mixture).float() for net in (compiled, plain)]
    assert compiled.compiled is not None
    assert distance(*estimates) < 0.02
    estimates[0].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in compiled.parameters())


def test_without_a_compiler_a_line_is_logged_and_training_goes_on(caplog):
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler")

    net = network(pair()[0])
    mixture = torch.randn(2, 800)
    expected = net(mixture)
    net.compile_training(backend=no_compiler)
    with caplog.at_level(logging.WARNING):
        found = [net(mixture) for _ in range(2)]
    assert torch.equal(found[0], expected) and torch.equal(found[1], expected)
    lines = [r.getMessage() for r in caplog.records if "compile" in r.msg]
    assert len(lines) == 1
    assert "cannot be compiled, it is used as it is" in lines[0]
    assert "no C++ compiler" in lines[0] and "\n" not in lines[0]
