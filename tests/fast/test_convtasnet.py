"""The fast Conv-TasNet has SpeechBrain's results and saves less for them."""

import copy
from multiprocessing.pool import ThreadPool

import pytest
import torch
from fast import block_functions, temporal_block
from fast.convtasnet import MaskNet
from losses import si_sdr_loss
from separator import Separator

from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.models import conv_tasnet
from speechbrain.lobes.models.dual_path import Decoder, Encoder

SIZES = dict(N=32, B=16, H=24, P=3, X=3, R=2, C=2)
KINDS = [
    dict(),
    dict(C=1, P=5),
    dict(C=4),
    dict(P=1, mask_nonlinear="softmax"),
    dict(norm_type="cLN"),
    dict(norm_type="cLN", causal=True),
    dict(norm_type="cLN", causal=True, P=5),
]


def pair(**options):
    """The fast and the stock mask network, with the same trained-like weights."""
    torch.manual_seed(0)
    options = {**SIZES, **options}
    stock = conv_tasnet.MaskNet(**options)
    for name, parameter in stock.named_parameters():
        if "conv" not in name.rsplit(".", 2)[-2]:
            # Gains, offsets and slopes begin as constants, which hide errors.
            parameter.data += 0.2 * torch.randn_like(parameter)
    fast = MaskNet(**options)
    fast.load_state_dict(stock.state_dict())
    return fast, stock


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
        masks = net(view)
        masks.square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    assert torch.allclose(fast(view), stock(view), atol=1e-5)
    for found, expected in zip(*gradients):
        assert (found is None) == (expected is None)
        assert found is None or torch.allclose(found, expected, rtol=1e-3)


def test_one_frame_is_enough_for_a_causal_network():
    fast, stock = pair(norm_type="cLN", causal=True)
    features = torch.randn(2, 32, 1).relu()
    assert torch.allclose(fast(features), stock(features), atol=1e-5)


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


def test_without_buffers_as_on_a_gpu_the_result_is_the_same(monkeypatch):
    fast, _ = pair(C=1)
    features = torch.randn(2, 32, 201).relu()
    gradients = []
    for _ in range(2):
        fast.zero_grad()
        fast(features).square().sum().backward()
        gradients.append([p.grad.clone() for p in fast.parameters()])
        for module in (block_functions, temporal_block):
            monkeypatch.setattr(module, "buffer", lambda *arguments: None)
    for with_buffers, without in zip(*gradients):
        assert torch.allclose(with_buffers, without, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options", [dict(), dict(C=1, norm_type="cLN")], ids=str
)
def test_gradients_are_as_near_to_float64_as_those_of_the_stock_network(
    options,
):
    fast, stock = pair(**options)
    exact = copy.deepcopy(stock).double()
    features = torch.randn(2, 32, 201).relu()
    for net in (fast, stock, exact):
        x = features.to(next(net.parameters()).dtype)
        net(x).square().sum().backward()
    gradients = [
        torch.cat([p.grad.double().flatten() for p in net.parameters()])
        for net in (fast, stock, exact)
    ]
    errors = [distance(g, gradients[2]) for g in gradients[:2]]
    assert errors[0] < 3 * errors[1] + 1e-7


@pytest.mark.parametrize(
    "options", [dict(C=1), dict(C=1, norm_type="cLN", causal=True)], ids=str
)
def test_fifty_steps_from_the_same_seed_end_alike(options):
    fast, stock = pair(**options)
    first, last = [], []
    for masknet in (fast, stock):
        net = network(masknet)
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        generator = torch.Generator().manual_seed(2)
        for step in range(50):
            time = torch.arange(1600) / 8000
            pitch = 100 + 300 * torch.rand(2, 1, generator=generator)
            reference = torch.sin(2 * torch.pi * pitch * time).unsqueeze(-1)
            noise = torch.randn(2, 1600, generator=generator)
            estimate = net(reference[..., 0] + 0.3 * noise)
            loss = si_sdr_loss(estimate, reference).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                first.append(loss.item())
        last.append(loss.item())
    assert last[0] < first[0] - 6  # dB
    assert abs(last[0] - last[1]) < 0.01


def test_checkpoints_go_both_ways():
    fast, stock = pair()
    assert list(fast.state_dict()) == list(stock.state_dict())
    torch.manual_seed(5)
    again = conv_tasnet.MaskNet(**SIZES)
    torch.manual_seed(5)
    same = MaskNet(**SIZES)
    for name, value in again.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
    again.load_state_dict(fast.state_dict(), strict=True)


def test_speechbrains_interface_takes_the_fast_network():
    net = network(pair()[0]).eval()
    interface = SepformerSeparation(
        modules={k: getattr(net, k) for k in ("encoder", "masknet", "decoder")},
        hparams={"num_spks": 2, "sample_rate": 8000},
        run_opts={"device": "cpu"},
    )
    mixture = torch.randn(2, 2000)
    with torch.no_grad():
        expected = interface.separate_batch(mixture)
        assert torch.allclose(net(mixture), expected, atol=1e-6)


def test_items_of_a_batch_are_independent():
    net = network(pair()[0]).eval()
    mixtures = torch.randn(3, 1000)
    with torch.no_grad():
        together = net(mixtures)
        alone = torch.cat([net(mixture[None]) for mixture in mixtures])
    assert torch.equal(together, alone)


def kept_bytes(net, mixture):
    """Bytes that autograd saves in a forward pass, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        net(mixture)
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
    assert estimate.isfinite().all()
    error = (estimate.float() - expected).square().sum()
    assert error <= 10**-2.5 * expected.square().sum()  # 25 dB
    estimate.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_a_second_gradient_is_an_error_and_threads_do_not_share_memory():
    fast, _ = pair(C=1)
    features = torch.randn(1, 32, 50, requires_grad=True)
    gradient = torch.autograd.grad(
        fast(features).sum(), features, create_graph=True
    )[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()

    inputs = [torch.randn(1, 32, 300 + 10 * i) for i in range(8)]
    with torch.no_grad():
        expected = [fast(x) for x in inputs]
    with ThreadPool(4) as pool:
        found = pool.map(inference(fast), inputs * 4)
    for one, other in zip(found, expected * 4):
        assert torch.equal(one, other)


def inference(net):
    """A function for threads, which do not inherit no_grad."""

    def run(x):
        with torch.inference_mode():
            return net(x).clone()

    return run


def test_mixture_shorter_than_the_reflection_is_refused():
    fast, stock = pair(X=4)
    assert fast.min_frames == 9
    assert fast(torch.randn(1, 32, 9)).shape == (2, 1, 32, 9)
    with pytest.raises(ValueError, match="8 frames is too short .* at least 9"):
        fast(torch.randn(1, 32, 8))
    with pytest.raises(RuntimeError):
        stock(torch.randn(1, 32, 8))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(norm_type="BN"), "norm_type: expected gLN or cLN, found 'BN'"),
        (dict(causal="yes"), "causal: expected True or False, found 'yes'"),
        (dict(causal=True), "gLN averages over the whole mixture"),
        (dict(P=4), "P: expected an odd number of frames, found 4"),
        (dict(mask_nonlinear="sigmoid"), "relu or softmax, found 'sigmoid'"),
    ],
    ids=str,
)
def test_options_that_the_network_does_not_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MaskNet(**{**SIZES, **options})


@pytest.mark.parametrize(
    "options", [dict(), dict(norm_type="cLN", causal=True)], ids=str
)
def test_compiled_in_one_graph_the_result_is_the_same(options):
    """SpeechBrain's --compile compiles modules.separator."""
    torch._dynamo.reset()
    net = network(pair(**options)[0])
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    mixture, gradients = torch.randn(2, 800), []
    for run in (compiled, net):
        net.zero_grad()
        run(mixture).square().sum().backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in net.parameters()])
        )
    assert distance(*gradients) < 1e-4
    with torch.no_grad():
        assert distance(compiled(mixture), net(mixture)) < 1e-5
