"""A mixin that trains a network as its entry in the registry allows.

Authors
 * The PolSESS recipe team 2026
"""

from functools import wraps

import torch
from torch.utils.checkpoint import checkpoint

from networks.registry import find_network


class NetworkOptions:
    """A mixin for sb.Brain; it needs ``modules["separator"]``.

    It applies the key gradient_checkpointing of the YAML. It raises ValueError
    for a precision in which the network overflows, and for options that do not
    fit it.

    Arguments
    ---------
    modules, opt_class, hparams, run_opts, checkpointer
        See sb.Brain.
    """

    def __init__(
        self,
        modules=None,
        opt_class=None,
        hparams=None,
        run_opts=None,
        checkpointer=None,
    ):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        separator = modules["separator"]
        if self.find_unused_parameters and hasattr(separator, "auxiliary"):
            raise ValueError(
                "find_unused_parameters: expected False for a network with "
                "auxiliary estimates, whose parameters are all used, found True"
            )
        for name in ("precision", "eval_precision"):
            check_precision(separator, getattr(self, name), name)
        is_frugal = (hparams or {}).get("gradient_checkpointing", False)
        if not isinstance(is_frugal, bool):
            raise ValueError(
                "gradient_checkpointing: expected True or False, found "
                f"{is_frugal!r}"
            )
        if is_frugal:
            checkpoint_blocks(separator)


def check_precision(separator, precision, name="precision"):
    """Raises ValueError for fp16 with a network that overflows in it.

    Arguments
    ---------
    separator : torch.nn.Module
        A network; one that the registry does not know passes.
    precision : str
        fp32, bf16 or fp16.
    name : str
        The option, for the error.
    """
    network = find_network(separator)
    if precision == "fp16" and network is not None and network.fp16:
        raise ValueError(
            f"{name}: expected bf16 or fp32 for {network.name}, found fp16: "
            f"{network.fp16}"
        )


def checkpoint_blocks(separator):
    """Recomputes each block in the backward pass instead of storing it.

    Output and gradients keep their bits: RNG states are restored for dropout.
    Evaluation is as before. Raises ValueError for a network without an entry
    in the registry.

    Arguments
    ---------
    separator : torch.nn.Module
        Changed in place; names of parameters stay.
    """
    network = find_network(separator)
    if network is None:
        raise ValueError(
            "gradient_checkpointing: expected a network of networks/registry.py, "
            f"found {type(getattr(separator, 'masknet', separator)).__name__}"
        )
    *parents, name = network.blocks.split(".")
    owner = separator
    for parent in parents:
        owner = getattr(owner, parent)
    blocks = getattr(owner, name)
    if not isinstance(blocks, torch.nn.Module):
        setattr(owner, name, _checkpointed(blocks))
        return
    for block in blocks.children():
        block.forward = _checkpointed(block.forward)


def _checkpointed(function):
    """The same function, which stores its inputs alone while gradients are on."""

    @wraps(function)
    def run(*inputs, **options):
        if not torch.is_grad_enabled():
            return function(*inputs, **options)
        return checkpoint(function, *inputs, use_reentrant=False, **options)

    return run
