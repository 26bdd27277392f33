"""Compiling: one graph for a training, the same result, a way without."""

import copy
import logging
import shutil
import weakref

import pytest
import torch
from hardware import Hardware, check_memory
from test_convtasnet import distance, network, pair
from test_hardware import Hungry, brain_with
from test_train import succeed
from torch._dynamo.backends.common import aot_autograd


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


def test_a_copy_is_not_compiled_and_has_weights_of_its_own():
    net = network(pair()[0])
    net.compile_training(backend="aot_eager")
    net.compile(backend="aot_eager")  # torch's own
    copied = copy.deepcopy(net)
    assert copied.compiled is None and net.compiled is not None
    with torch.no_grad():
        copied.encoder.conv1d.weight.zero_()
    assert copied(torch.randn(1, 800)).abs().max() == 0


def test_a_compiled_batch_that_does_not_fit_is_halved():
    tried = []

    def backend(graph, inputs):
        def run(*tensors):
            batch = next(len(t) for t in tensors if t.shape[1:] == (50,))
            tried.append(batch)
            if batch > 3:
                raise torch.OutOfMemoryError("no memory")
            return graph(*tensors)

        return run

    net = network(pair(C=1, X=1)[0])
    net.compile_training(backend=backend, dynamic=False)
    with pytest.raises(MemoryError, match="found by halving that fits is 2;"):
        check_memory(brain_with(net))
    assert tried == [8, 4, 2]


def test_a_gradient_that_cannot_be_compiled_is_found_before_the_training(
    caplog,
):
    def failing(graph, inputs):
        raise RuntimeError("no kernel for the gradient")

    net = network(pair(C=1, X=1)[0])
    backend = aot_autograd(fw_compiler=lambda g, i: g, bw_compiler=failing)
    net.compile_training(backend=backend, dynamic=False)
    with caplog.at_level(logging.WARNING):
        check_memory(brain_with(net))
    assert net.compiled is None
    assert "used as it is: " in caplog.text
    assert "no kernel for the gradient" in caplog.text
    net(torch.randn(2, 800)).square().sum().backward()


def test_an_error_that_is_not_the_compilers_is_not_blamed_on_it(caplog):
    net = network(pair(C=1, X=1)[0])
    net.compile_training(backend="aot_eager", dynamic=False)
    brain = brain_with(net)

    def loss(estimate, reference):
        raise RuntimeError("shapes differ")

    brain.hparams.loss = loss
    with pytest.raises(RuntimeError, match="shapes differ"):
        check_memory(brain)
    assert "compile" not in caplog.text


def test_what_could_not_be_compiled_is_gone_before_the_next_try():
    alive = []

    def backend(graph, inputs):
        def run(*tensors):
            made = torch.ones(5)
            alive.append(weakref.ref(made))
            raise ValueError("broken kernel")

        return run

    net = network(pair(C=1, X=1)[0])
    net.compile_training(backend=backend, dynamic=False)
    plain, seen = net._estimate, []

    def estimate(mixture):
        seen.extend(reference() for reference in alive)
        return plain(mixture)

    net._estimate = estimate
    check_memory(brain_with(net))
    assert seen == [None] and net.compiled is None


class Fit:
    """What Hardware calls in sb.Brain."""

    compile_module_keys = None
    compile = compile_using_fullgraph = True
    compile_mode = None

    def on_fit_start(self):
        """Compiles what is left to it."""
        self.left = self.compile, self.compile_module_keys


@pytest.mark.parametrize(
    "seconds, is_dynamic, is_compiled",
    [(0.5, False, True), (2.0, False, False), (2.0, True, True)],
)
def test_one_length_is_compiled_others_are_said(
    seconds, is_dynamic, is_compiled, monkeypatch, caplog
):
    made = []
    monkeypatch.setattr(torch, "compile", lambda f, **o: made.append(o) or f)
    # Mixtures are of 1 and 3 s.
    given = vars(brain_with(network(pair(C=1, X=1)[0]), 2, seconds))
    brain = type("Brain", (Hardware, Fit), given)()
    modules = torch.nn.ModuleDict({"separator": given["modules"].separator})
    modules.separator = modules["separator"]
    brain.modules = modules
    brain.compile_using_dynamic_shape_tracing = is_dynamic
    with caplog.at_level(logging.WARNING):
        brain.on_fit_start()
    options = {"mode": None, "fullgraph": True, "dynamic": is_dynamic}
    assert made == [options] * is_compiled
    assert brain.left == (False, [])
    line = "training takes 1 to 2 s of a mixture"
    assert (line in caplog.text) == (not is_compiled)


@pytest.mark.parametrize("epochs, tried", [(1, 1), (2, 0)])
def test_nothing_is_tried_where_nothing_is_left_to_train(epochs, tried):
    """The command of a complete training, repeated, where less memory is."""
    separator = Hungry(room=8)
    given = vars(brain_with(separator)) | {
        "modules": torch.nn.ModuleDict({"separator": separator})
    }
    given["modules"].separator = separator
    brain = type("Brain", (Hardware, Fit), given)()
    brain.compile = False
    brain.hparams.epoch_counter.current = epochs
    brain.on_fit_start()
    assert len(separator.tried) == tried


@pytest.mark.slow
def test_train_py_goes_on_without_a_compiler(tmp_path):
    options = ["--X=1", "--number_of_epochs=1", "--compile"]
    empty = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    found = succeed(
        tmp_path / "run", *options, env={**empty, "CXX": "/nonexistent"}
    )
    assert found.count("the network cannot be compiled") == 1
    assert (tmp_path / "run/test_summary.md").exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_train_py_compiles(tmp_path):
    options = ["--X=1", "--number_of_epochs=1", "--compile"]
    log = {"TORCH_LOGS": "recompiles,graph_code"}
    log["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "cache")
    found = succeed(tmp_path / "run", *options, env=log)
    assert "cannot be compiled" not in found
    assert found.count("TRACED GRAPH") == 1
    assert "Recompiling" not in found
