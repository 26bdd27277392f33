"""Four modules for separation mix the items of a batch.

Each gets three items together and one by one, without dropout. Both should give
the same. What a user of the recipes notices: a score depends on the batch size.

> python items_of_a_batch.py

It exits with 1 where an estimate depends on the other items, with 0 where it
does not.

Authors
 * The PolSESS recipe team 2026
"""

import sys

import torch

from speechbrain.lobes.models.dual_path import (
    DPTNetBlock,
    Dual_Path_Model,
    PytorchTransformerBlock,
    SBTransformerBlock,
)
from speechbrain.lobes.models.resepformer import (
    MemLSTM,
    ResourceEfficientSeparator,
    SBTransformerBlock_wnormandskip,
    SegLSTM,
)

ITEMS, FEATURES, FRAMES, CHUNK = 3, 16, 500, 50
ROUNDING = 1e-4  # relative


def transformers_with_means():
    """RE-SepFormer."""
    blocks = [
        SBTransformerBlock_wnormandskip(1, FEATURES, 2, d_ffn=32, dropout=0.0)
        for _ in range(2)
    ]
    return separator(*blocks, causal=False, mem_type="av")


def lstms_with_states(bidirectional):
    """SkiM; the causal one looks in one direction."""
    options = dict(bidirectional=bidirectional)
    options["norm_type"] = "gln" if bidirectional else "cln"
    blocks = SegLSTM(FEATURES, 32, **options), MemLSTM(32, **options)
    return separator(*blocks, causal=not bidirectional, mem_type="hc")


def separator(seg_model, mem_model, causal, mem_type):
    """Two blocks, with a memory between them."""
    return ResourceEfficientSeparator(
        FEATURES,
        causal=causal,
        num_spk=2,
        layer=2,
        segment_size=CHUNK,
        mem_type=mem_type,
        seg_model=seg_model,
        mem_model=mem_model,
    )


def dual_path(block):
    """The same kind of block within chunks and across chunks."""
    return Dual_Path_Model(FEATURES, FEATURES, block, block, K=CHUNK)


def dependence(build):
    """Largest change of an estimate, relative to the largest estimate."""
    torch.manual_seed(0)
    network = build().eval()
    features = torch.rand(ITEMS, FEATURES, FRAMES)
    with torch.no_grad():
        together = network(features)
        single = torch.cat([network(item[None]) for item in features], dim=1)
    return ((together - single).abs().max() / together.abs().max()).item()


NETWORKS = {
    "RE-SepFormer": transformers_with_means,
    "SkiM, causal": lambda: lstms_with_states(bidirectional=False),
    "SkiM": lambda: lstms_with_states(bidirectional=True),
    "DPTNetBlock": lambda: dual_path(DPTNetBlock(FEATURES, 2)),
    "PytorchTransformerBlock": lambda: dual_path(
        PytorchTransformerBlock(FEATURES, 1, 2, d_ffn=32, dropout=0.0)
    ),
    "SBTransformerBlock": lambda: dual_path(
        SBTransformerBlock(1, FEATURES, 2, d_ffn=32, dropout=0.0)
    ),
}

if __name__ == "__main__":
    changes = {name: dependence(build) for name, build in NETWORKS.items()}
    for name, change in changes.items():
        print(f"{name}: the other items change an estimate by {change:.1%}")
    sys.exit(max(changes.values()) > ROUNDING)
