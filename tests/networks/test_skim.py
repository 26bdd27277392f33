"""SkiM and RE-SepFormer: SpeechBrain's results, without its leaks."""

from functools import partial

import pytest
import torch
from networks.skim import RESepFormer, SkiM
from recipe import hparams_of
from tiny_networks import (
    BY_NAME,
    largest_difference,
    ours_and_stock,
    overrides_of,
    speech_like,
    tiny,
)

from speechbrain.lobes.models import resepformer

CAUSAL = overrides_of(BY_NAME["SkiM"].causal)
CASES = [("SkiM", {}), ("SkiM", CAUSAL), ("RE-SepFormer", {})]


@pytest.mark.parametrize("name, overrides", CASES)
@pytest.mark.parametrize("task", ["ES", "SB"])
def test_a_single_estimate_is_that_of_the_upstream_yaml(
    name, overrides, task, tmp_path
):
    ours, stock = ours_and_stock(name, tmp_path, task, **overrides)
    for frames in (1, 9, 10, 11, 61):
        mixture = speech_like(1, 32 + (frames - 1) * 16)
        assert largest_difference(ours, stock, mixture) <= 1e-6


def dependence(separator, mixture):
    """Largest change of an estimate by the other items of a batch."""
    with torch.no_grad():
        whole = separator(mixture)
        single = torch.cat([separator(item[None]) for item in mixture])
    return (whole - single).abs().max() / whole.abs().max()


@pytest.mark.parametrize("name, overrides", CASES)
def test_speechbrains_leaks_are_mended(name, overrides, tmp_path):
    ours, stock = ours_and_stock(name, tmp_path, **overrides)
    mixture = speech_like(3, 2001)
    assert dependence(ours, mixture) <= 1e-6
    leaks = name == "RE-SepFormer" or bool(overrides)
    assert (dependence(stock, mixture) > 0.01) == leaks


@pytest.mark.parametrize("name", ["SkiM", "RE-SepFormer"])
def test_blocks_start_with_different_weights(name):
    pipeline = tiny(name, layer=3).masknet.model
    for blocks in (pipeline.seg_model, pipeline.mem_model):
        # Gains and offsets of norms start equal; those of gLN have 2 dimensions.
        first, second = (
            [p for p in block.parameters() if p.dim() == 2 and p.shape[1] > 1]
            for block in list(blocks)[:2]
        )
        assert first
        assert not any(torch.equal(*pair) for pair in zip(first, second))


SEGMENT = partial(resepformer.SegLSTM, 8, 4, norm_type="cln")
MEMORY = partial(resepformer.MemLSTM, 4, norm_type="cln")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(seg_model=partial(SEGMENT, bidirectional=True)),
            "causal: .*lstm reads later frames",
        ),
        (
            dict(mem_model=partial(MEMORY, norm_type="gln")),
            "causal: .*h_norm reads later frames",
        ),
        (dict(segment_size=0), "segment_size: expected .*found 0"),
        (dict(mem_model=MEMORY()), "mem_model: expected a factory"),
    ],
)
def test_what_is_not_causal_or_no_size_is_refused(change, message):
    arguments = dict(segment_size=5, seg_model=SEGMENT, mem_model=MEMORY)
    SkiM(8, causal=True, **arguments)
    with pytest.raises(ValueError, match=message):
        SkiM(8, causal=True, **{**arguments, **change})


def test_resepformer_is_never_causal():
    with pytest.raises(ValueError, match="causal: expected False"):
        RESepFormer(8, causal=True, mem_type="av")


def test_the_causal_skim_has_5_3_million_parameters():
    separator = hparams_of("skim.yaml", **CAUSAL)["separator"]
    assert (
        round(sum(p.numel() for p in separator.parameters()) / 1e6, 2) == 5.29
    )
