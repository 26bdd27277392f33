"""The fast Conv-TasNet has SpeechBrain's results at the default size."""

import copy

import pytest
import torch
from recipe import hparams_of
from test_convtasnet import SIZES, distance, pair

from speechbrain.lobes.models import conv_tasnet

DEFAULT = dict(N=256, B=256, H=512, X=8, R=4)


def gradient_of(net, features, weights):
    """The gradient of all parameters as one vector, in float64."""
    net.zero_grad()
    dtype = next(net.parameters()).dtype
    (net(features.to(dtype)) * weights).sum().backward()
    return torch.cat([p.grad.double().flatten() for p in net.parameters()])


def test_it_is_the_size_of_the_yaml():
    hparams = hparams_of()
    assert {name: hparams[name] for name in DEFAULT} == DEFAULT


@pytest.mark.parametrize(
    "options", [dict(C=1), dict(norm_type="cLN", causal=True)], ids=str
)
def test_the_default_size_agrees_with_the_stock_network(options):
    fast, stock = pair(**DEFAULT, **options, mask_nonlinear="softmax")
    for net in (fast, stock):
        for name, parameter in net.named_parameters():
            # A value near zero may fall on either side of PReLU's kink, which
            # alone moves the gradient by 1e-3, in both networks.
            if name.endswith("act.weight"):
                parameter.data.fill_(1)
    features = 0.1 * torch.randn(1, 256, 999).relu()
    masks = [net(features) for net in (fast, stock)]
    assert (masks[0] - masks[1]).abs().max() < 1e-5
    assert distance(*masks) < 1e-5
    weights = torch.randn_like(masks[0])
    gradients = [gradient_of(net, features, weights) for net in (fast, stock)]
    assert distance(*gradients) < 1e-4


@pytest.mark.parametrize("is_trained", [False, True])
def test_gradients_through_prelu_are_as_near_to_float64_as_those_of_stock(
    is_trained,
):
    """Values near zero fall on either side of PReLU's kink in both."""
    fast, stock = pair(**DEFAULT, C=1)
    if not is_trained:
        options = {**SIZES, **DEFAULT, "C": 1}
        initial = conv_tasnet.MaskNet(**options).state_dict()
        for net in (fast, stock):
            net.load_state_dict(initial)
    exact = copy.deepcopy(stock).double()
    errors = {fast: 0.0, stock: 0.0}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        features = 0.1 * torch.randn(1, 256, 399, generator=generator).relu()
        with torch.no_grad():
            masks = fast(features), stock(features)
        assert torch.allclose(*masks, atol=1e-5, rtol=1e-5)
        assert distance(*masks) < 1e-5
        weights = torch.randn(masks[0].shape, generator=generator)
        expected = gradient_of(exact, features, weights)
        for net in errors:
            found = gradient_of(net, features, weights)
            errors[net] += distance(found, expected) / 3
    assert errors[fast] < 2 * errors[stock] + 1e-4
