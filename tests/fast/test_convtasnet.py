"""The fast Conv-TasNet has SpeechBrain's results and saves less for them."""

import copy
from multiprocessing.pool import ThreadPool

import pytest
import torch
import torch.nn.functional as F
from fast import block_functions, depthwise, temporal_block
from fast.convtasnet import MaskNet
from made_runs import mask_networks
from recipe import hparams_of
from separator import Separator

from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder

SIZES = dict(N=32, B=16, H=24, P=3, X=3, R=2, C=2)
DEFAULT = dict(N=256, B=256, H=512, X=8, R=4)
CAUSAL = dict(norm_type="cLN", causal=True)
KINDS = [
    dict(),
    dict(C=1, P=5),
    dict(C=4),
    dict(P=1, mask_nonlinear="softmax"),
    dict(norm_type="cLN"),
    CAUSAL,
    dict(**CAUSAL, P=5),
]


def pair(**options):
    return mask_networks(**{**SIZES, **options})


def network(masknet):
    """A separator around a mask network of N 32, the same at each call."""
    torch.manual_seed(1)
    return Separator(
        Encoder(kernel_size=16, out_channels=32),
        masknet,
        Decoder(32, 1, kernel_size=16, stride=8, bias=False),
    )


def distance(found, expected):
    """Relative distance in the 2-norm."""
    return ((found - expected).norm() / expected.norm()).item()


def gradient_of(net, features, weights=1.0):
    """The gradient of all parameters as one vector, in float64."""
    net.zero_grad()
    dtype = next(net.parameters()).dtype
    (net(features.to(dtype)) * weights).square().sum().backward()
    return torch.cat([p.grad.double().flatten() for p in net.parameters()])


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("frames", [9, 16, 33, 500])
def test_masks_and_gradients_are_those_of_the_stock_network(options, frames):
    fast, stock = pair(**options)
    features = torch.randn(3, 32, frames).relu()
    inputs = [features.clone().requires_grad_() for _ in range(2)]
    masks = [net(x) for net, x in zip((fast, stock), inputs)]
    assert masks[0].shape == masks[1].shape
    assert torch.allclose(masks[0], masks[1], atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(masks[0])
    for mask in masks:
        (mask * weights).sum().backward()
    assert distance(inputs[0].grad, inputs[1].grad) < 1e-4
    expected = dict(stock.named_parameters())
    # The gradient of a PReLU slope is a sum of large terms that cancel.
    rounding = 1e-6 * max(p.grad.norm() for p in expected.values())
    for name, parameter in fast.named_parameters():
        gradient = expected[name].grad
        error = (parameter.grad - gradient).norm()
        assert error < 1e-4 * gradient.norm() + rounding, name


def test_frozen_weights_and_views_change_nothing():
    fast, stock = pair(C=1)
    view = torch.randn(2, 50, 64).relu()[:, ::2, ::2].transpose(1, 2)
    gradients = []
    for net in (fast, stock):
        for name, parameter in net.named_parameters():
            parameter.requires_grad = "DSconv" in name
        net(view).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    assert torch.allclose(fast(view), stock(view), atol=1e-5)
    for found, expected in zip(*gradients):
        assert (found is None) == (expected is None)
        assert found is None or torch.allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(
    "options, frames", [(dict(X=4), 9), (dict(P=5), 9), (CAUSAL, 1)], ids=str
)
def test_the_shortest_mixture_is_that_of_the_stock_network(options, frames):
    fast, stock = pair(**options)
    assert fast.min_frames == frames
    features = torch.randn(2, 32, frames).relu()
    assert torch.allclose(fast(features), stock(features), atol=1e-5)
    if frames > 1:
        message = f"{frames - 1} frames is too short .* at least {frames}"
        with pytest.raises(ValueError, match=message):
            fast(features[..., 1:])
        with pytest.raises(RuntimeError):
            stock(features[..., 1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_converted_to_another_type_is_refused(dtype):
    fast, _ = pair()
    features = torch.randn(1, 32, 50, dtype=dtype)
    with pytest.raises(ValueError, match=f"converted to {dtype}; leave it in"):
        fast.to(dtype)(features)


def test_buffers_are_freed_after_a_pass_without_gradients():
    fast, _ = pair()
    fast(torch.randn(1, 32, 50)).sum().backward()
    assert vars(block_functions._buffers)
    with torch.no_grad():
        fast(torch.randn(1, 32, 5000))
    assert not vars(block_functions._buffers)


def test_a_training_goes_on_after_an_inference():
    fast, stock = pair()
    features = torch.randn(2, 32, 300).relu()
    with torch.inference_mode():
        block_functions.buffer("active", (1, 24, 304), features)
        fast(features)
        # What an error in the middle of a pass leaves.
        for name in ("active", "above", "error", "gradient"):
            block_functions.buffer(name, (1, 24, 304), features)
    found, expected = (gradient_of(net, features) for net in (fast, stock))
    assert distance(found, expected) < 1e-4


def test_a_block_on_a_batch_without_buffers_as_on_a_gpu(monkeypatch):
    asked = []
    for module in (block_functions, depthwise, temporal_block):
        monkeypatch.setattr(
            module, "buffer", lambda *named: asked.append(named)
        )
    torch.manual_seed(0)
    sizes = [(24, 16), (1,), (24, 1), (24, 1), (24, 3)]
    sizes += [*sizes[1:4], (16, 24)]
    weights = [torch.randn(size).requires_grad_() for size in sizes]
    x = F.pad(torch.randn(3, 16, 41), (0, 7)).requires_grad_()
    fast = temporal_block.TemporalBlock.apply(x, 41, 4, True, *weights)
    geometry = 4, False, (1, 2)
    plain = temporal_block.plain_block(x[..., :41], geometry, *weights)
    assert distance(fast[..., :41], plain) < 1e-5 and not fast[..., 41:].any()
    factors = torch.randn_like(plain)
    found, expected = (
        torch.autograd.grad((y[..., :41] * factors).sum(), [x, *weights])
        for y in (fast, plain)
    )
    for pair_of_gradients in zip(found, expected):
        assert distance(*pair_of_gradients) < 1e-4
    names = {name for name, *_ in asked}
    assert names == {"active", "above", "error", "gradient"}


def test_checkpoints_go_both_ways():
    torch.manual_seed(5)
    stock = conv_tasnet.MaskNet(**SIZES)
    torch.manual_seed(5)
    fast = MaskNet(**SIZES)
    weights = fast.state_dict()
    assert list(weights) == list(stock.state_dict())
    for name, value in stock.state_dict().items():
        assert torch.equal(value, weights[name]), name
    stock.load_state_dict(weights, strict=True)


def kept_bytes(net, features):
    """Bytes that autograd saves in a forward pass, with the weights."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        net(features)
    return sum(nbytes for nbytes, _ in kept.values())


def test_less_than_half_is_saved_for_the_gradient():
    fast, stock = pair(N=32, B=32, H=64, X=3, R=3)
    features = torch.randn(1, 32, 999).relu()
    assert kept_bytes(fast, features) < 0.4 * kept_bytes(stock, features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("signal", ["speech", "half silent", "zeros", "1 LSB"])
def test_half_precision_is_finite_and_near_float32(dtype, signal):
    net = network(pair(C=1)[0])
    mixture = 0.1 * torch.randn(2, 2400)
    if signal == "half silent":
        mixture[:, 1200:] = 0
    elif signal == "zeros":
        mixture = torch.zeros_like(mixture)
    elif signal == "1 LSB":
        mixture = mixture.sign() / 32768
    expected = net(mixture)
    with torch.autocast("cpu", dtype):
        estimate = net(mixture)
        # The products are in half precision, not the statistics.
        assert net.masknet(net.encoder(mixture)).dtype == dtype
    assert estimate.isfinite().all()
    error = (estimate.float() - expected).square().sum()
    assert error <= 10**-2.5 * expected.square().sum()  # 25 dB
    estimate.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_a_second_gradient_is_an_error():
    fast, _ = pair(C=1)
    features = torch.randn(1, 32, 50, requires_grad=True)
    mask = fast(features).sum()
    (gradient,) = torch.autograd.grad(mask, features, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_threads_do_not_share_memory():
    fast, _ = pair(C=1)
    infer = torch.inference_mode()(lambda x: fast(x).clone())
    inputs = [torch.randn(1, 32, 300 + 10 * i) for i in range(8)]
    expected = [infer(x) for x in inputs]
    with ThreadPool(4) as pool:
        found = pool.map(infer, inputs * 4)
    assert all(torch.equal(*both) for both in zip(found, expected * 4))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(norm_type="BN"), "norm_type: expected gLN or cLN, found 'BN'"),
        (dict(causal="yes"), "causal: expected True or False, found 'yes'"),
        (dict(causal=True), "gLN averages over the whole mixture"),
        (dict(P=4), "P: expected an odd number of frames, found 4"),
        (dict(P=4, norm_type="cLN", causal=True), "P: expected an odd"),
        (dict(mask_nonlinear="sigmoid"), "relu or softmax, found 'sigmoid'"),
    ],
    ids=str,
)
def test_options_that_the_network_does_not_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaskNet(**{**SIZES, **options})


@pytest.mark.parametrize(
    "options",
    [
        dict(X=1, R=1),
        pytest.param(dict(), marks=pytest.mark.nightly),
        pytest.param(CAUSAL, marks=pytest.mark.nightly),
    ],
    ids=str,
)
def test_compiled_in_one_graph_the_result_is_the_same(options):
    """SpeechBrain's --compile compiles modules.separator."""
    torch._dynamo.reset()
    net = network(pair(**options)[0])
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    mixture, found = torch.randn(2, 800), []
    for run in (compiled, net):
        net.zero_grad()
        estimate = run(mixture)
        estimate.square().sum().backward()
        found.append([estimate, *(p.grad.clone() for p in net.parameters())])
    assert distance(found[0][0], found[1][0]) < 1e-5
    gradients = [torch.cat([g.flatten() for g in one[1:]]) for one in found]
    assert distance(*gradients) < 1e-4


@pytest.mark.nightly
def test_gradients_through_prelu_are_as_near_to_float64_as_those_of_stock():
    """Values near zero fall on either side of PReLU's kink in both."""
    hparams = hparams_of()
    assert {name: hparams[name] for name in DEFAULT} == DEFAULT
    fast, stock = pair(**DEFAULT, C=1)
    exact = copy.deepcopy(stock).double()
    errors = {fast: 0.0, stock: 0.0}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        features = 0.1 * torch.randn(1, 256, 399, generator=generator).relu()
        with torch.no_grad():
            masks = fast(features), stock(features)
        assert torch.allclose(*masks, atol=1e-5, rtol=1e-5)
        weights = torch.randn(masks[0].shape, generator=generator)
        expected = gradient_of(exact, features, weights)
        for net in errors:
            found = gradient_of(net, features, weights)
            errors[net] += distance(found, expected) / 3
    assert errors[fast] < 2 * errors[stock] + 1e-4
