"""DPRNN and SepFormer: SpeechBrain's results, fresh blocks, refusals."""

from functools import partial

import pytest
import torch
from networks.dual_path import DPRNN, SepFormer
from recipe import hparams_of
from tiny_networks import (
    BY_NAME,
    largest_difference,
    ours_and_stock,
    speech_like,
    tiny,
)

from speechbrain.lobes.models import dual_path

BLOCK = partial(
    dual_path.SBTransformerBlock, 1, 8, 2, 8, use_positional_encoding=True
)


@pytest.mark.parametrize("name", ["DPRNN", "SepFormer"])
@pytest.mark.parametrize("task", ["ES", "SB"])
def test_estimates_are_those_of_the_upstream_yaml(name, task, tmp_path):
    ours, stock = ours_and_stock(name, tmp_path, task)
    # 1 to 61 frames: chunks of 10 that end with, before and after the signal.
    for frames in (1, 4, 5, 6, 9, 10, 11, 15, 20, 61):
        mixture = speech_like(2, 32 + (frames - 1) * 16)
        assert largest_difference(ours, stock, mixture) <= 1e-6


@pytest.mark.parametrize("name", ["DPRNN", "SepFormer"])
def test_gradients_are_those_of_the_upstream_yaml(name, tmp_path):
    found, expected = (
        torch.autograd.grad(
            separator(speech_like(2, 1001)).square().sum(),
            list(separator.parameters()),
        )
        for separator in ours_and_stock(name, tmp_path)
    )
    for one, other in zip(found, expected):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    "name, overrides",
    [("DPRNN", {}), ("SepFormer", dict(num_layers=2))],
)
def test_layers_start_with_different_weights(name, overrides):
    layers = tiny(name, **overrides).masknet.dual_mdl
    first, second = (
        [weight for weight in layer.parameters() if weight.dim() > 1]
        for layer in layers
    )
    assert first
    assert not any(torch.equal(*pair) for pair in zip(first, second))


def test_a_mixture_longer_than_the_positions_is_refused():
    masknet = SepFormer(8, 8, BLOCK, BLOCK, K=2, num_spks=1).eval()
    assert masknet.max_chunks == 2500
    frames = 2497
    with torch.no_grad():
        assert masknet(torch.rand(1, 8, frames)).shape == (1, 1, 8, frames)
        with pytest.raises(ValueError, match="at most 2500 chunks.*found 2502"):
            masknet(torch.rand(1, 8, frames + 2))
    assert tiny("DPRNN").masknet.max_chunks is None


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(K=25), "K: expected a multiple of 2 .*, found 25"),
        (dict(norm="bn"), "norm: expected ln, gln or cln, found 'bn'"),
        (
            dict(intra_model=BLOCK()),
            "intra_model: expected a factory .*found SBTransformerBlock",
        ),
        (
            dict(inter_model=partial(dual_path.DPTNetBlock, 8, 2)),
            "inter_model: DPTNetBlock attends over the items of a batch",
        ),
        (
            dict(inter_model=partial(dual_path.PytorchTransformerBlock, 8)),
            "inter_model: PytorchTransformerBlock attends over the items",
        ),
    ],
)
def test_what_is_not_offered_is_refused(change, message):
    arguments = dict(K=10, intra_model=BLOCK, inter_model=BLOCK)
    with pytest.raises(ValueError, match=message):
        DPRNN(8, 8, **{**arguments, **change})


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="d_model: .*of 3 .nhead., found 256"):
        hparams_of(BY_NAME["SepFormer"].hparams, nhead=3)
