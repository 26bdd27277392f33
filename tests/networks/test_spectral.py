"""Parts that networks of spectrograms share."""

import pytest
import torch
import torch.nn.functional as F
from networks.spectral import EPS, FullBandAttention, Projection
from tiny_networks import tiny


def test_each_head_has_its_own_norm():
    projection = Projection(bins=3, D=4, heads=2, channels=2)
    torch.nn.init.normal_(projection.act.weight)
    torch.nn.init.normal_(projection.weight)
    torch.nn.init.normal_(projection.bias)
    signal = torch.randn(2, 5, 3, 4)
    found = projection(signal)
    for head in range(2):
        rows = slice(2 * head, 2 * head + 2)
        layer = projection.linear
        y = F.linear(signal, layer.weight[rows], layer.bias[rows])
        y = F.prelu(y, projection.act.weight[head : head + 1])
        gain, bias = projection.weight[head, 0], projection.bias[head, 0]
        expected = F.layer_norm(y, (3, 2), gain, bias, EPS)
        assert torch.allclose(found[:, head], expected, atol=1e-5)


def test_attention_is_that_of_its_formula():
    attention = FullBandAttention(bins=5, D=4, heads=2, channels=3)
    x = torch.randn(2, 6, 5, 4)
    parts = attention.query(x), attention.key(x), attention.value(x)
    query, key, value = (part.flatten(3) for part in parts)
    scores = query @ key.transpose(2, 3) / (5 * 3) ** 0.5
    heads = (scores.softmax(-1) @ value).unflatten(3, (5, 2))
    joined = torch.cat(heads.unbind(1), -1)
    expected = attention.out(joined)[:, 0]
    assert torch.allclose(attention(x), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["TF-Locoformer", "TF-GridNet", "SPMamba"])
def test_estimates_scale_with_the_mixture(name):
    network = tiny(name).eval()
    mixture = torch.randn(1, 640)
    with torch.no_grad():
        expected = network(mixture)
        found = network(1024 * mixture) / 1024
        assert torch.allclose(found, expected, atol=1e-6)
        assert not network(0 * mixture).any()
