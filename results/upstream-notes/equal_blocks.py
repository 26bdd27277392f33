"""Blocks of the dual-path networks start with equal weights.

Dual_Path_Model and ResourceEfficientSeparator take one block and copy it for each
layer, initial weights included. The recipes then call reset_parameters of each
module; the in_proj_weight of the attention belongs to a module without one, so it
stays equal.

> python equal_blocks.py

It exits with 1 where two layers have a weight matrix in common, with 0 otherwise.

Authors
 * The PolSESS recipe team 2026
"""

import sys

import torch

from speechbrain.lobes.models.dual_path import (
    Dual_Path_Model,
    SBTransformerBlock,
)

FEATURES = 16


def reset_layer_recursively(layer):
    """As in train.py of the recipe WSJ0Mix/separation."""
    if hasattr(layer, "reset_parameters"):
        layer.reset_parameters()
    for child_layer in layer.modules():
        if layer != child_layer:
            reset_layer_recursively(child_layer)


def equal_matrices(network):
    """Names of the matrices that the first two layers have in common."""
    first, second = (dict(x.named_parameters()) for x in network.dual_mdl)
    return [
        name
        for name, weight in first.items()
        if weight.dim() > 1 and torch.equal(weight, second[name])
    ]


if __name__ == "__main__":
    torch.manual_seed(0)
    intra, inter = (SBTransformerBlock(1, FEATURES, 2) for _ in range(2))
    network = Dual_Path_Model(FEATURES, FEATURES, intra, inter, num_layers=2)
    matrices = [x for x in network.dual_mdl[0].parameters() if x.dim() > 1]
    built = equal_matrices(network)
    print(f"as built: {len(built)} of {len(matrices)} matrices are equal")
    reset_layer_recursively(network)
    reset = equal_matrices(network)
    print(f"after the recipe's reset: {len(reset)} of {len(matrices)}, as")
    for name in reset:
        print(f"  {name}")
    sys.exit(bool(built or reset))
