"""A mix-in that fits a training to the hardware: compiles it, checks its memory.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import gc
import math

import torch
from memory import is_out_of_memory, memory_limit
from randomness import seeded

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class Hardware:
    """A mix-in before sb.Brain; it answers these defects of it:

    * With --compile it compiles validation too, anew for each length of mixture,
      and ends where the compiler fails. Here only training is compiled, for one
      shape, and a failure is one line of log, see ``Separator``.
    * A batch that does not fit into memory may show late, at the longest mixtures,
      by an error that says little. Here the largest one is tried before the
      training begins.
    """

    def on_fit_start(self):
        """Compiles if asked to, and tries a batch once all is in memory."""
        keys = self.compile_module_keys or list(self.modules)
        if self.compile and "separator" in keys:
            is_dynamic = self.compile_using_dynamic_shape_tracing
            if is_dynamic or _has_one_length(self):
                self.modules.separator.compile_training(
                    mode=self.compile_mode,
                    fullgraph=self.compile_using_fullgraph,
                    dynamic=is_dynamic,
                )
            self.compile_module_keys = [k for k in keys if k != "separator"]
            self.compile = bool(self.compile_module_keys)
        super().on_fit_start()
        epochs = self.hparams.epoch_counter
        if epochs.current < epochs.limit:  # else nothing is left to train
            check_memory(self)


def _item_seconds(brain):
    """The length of each training mixture, or of the crop from it."""
    rows = brain.train_loader.dataset.data.values()
    most = brain.hparams.segment_seconds or math.inf
    return [min(float(row["duration"]), most) for row in rows]


def _has_one_length(brain):
    """Whether all batches have one shape; a line says so where they have not."""
    seconds = _item_seconds(brain)
    shortest, longest = min(seconds), max(seconds)
    if shortest < longest:
        logger.warning(
            f"--compile: training takes {shortest:g} to {longest:g} s of a "
            "mixture and each length would be compiled for minutes, so the "
            "network is used as it is; it is compiled with --segment_seconds of "
            f"{shortest:g} or less, or --compile_using_dynamic_shape_tracing"
        )
    return shortest == longest


def check_memory(brain):
    """Makes one step of the largest batch, which changes nothing.

    Raises MemoryError that names the largest batch that fits, found by halving,
    when the batch of the YAML does not fit.

    Arguments
    ---------
    brain : speechbrain.Brain
        About to train: its network and optimizer are in memory, its loader is
        made.
    """
    seconds = _item_seconds(brain)
    wanted = min(brain.hparams.batch_size, len(seconds))
    seconds = max(seconds)
    samples = round(seconds * brain.hparams.sample_rate)
    batch = wanted
    on_cpu = brain.device_type == "cpu"
    with memory_limit() if on_cpu else contextlib.nullcontext():
        while batch and not _fits(brain, batch, samples):
            batch //= 2
    if batch < wanted:
        advice = "no batch fits: use a smaller network or --segment_seconds"
        if batch:
            steps = brain.grad_accumulation_factor * -(-wanted // batch)
            advice = (
                f"the largest one found by halving that fits is {batch}; use "
                f"--batch_size={batch} --grad_accumulation_factor={steps}"
            )
        raise MemoryError(
            f"a batch of {wanted} mixtures of {seconds:g} s does not fit into "
            f"the memory of {brain.device}: {advice}"
        )


def _fits(brain, batch, samples):
    """Whether a step has enough memory; where compiling fails, without it."""
    separator = brain.modules.separator
    separator = getattr(separator, "module", separator)  # without DDP
    separator.full_batch = 0  # a larger one may have failed
    separator.train()
    is_compiled = getattr(separator, "compiled", None) is not None
    try:
        _step(brain, separator, batch, samples)
        return True
    except Exception as error:
        is_memory, reason = is_out_of_memory(error), str(error)
        if not (is_memory or is_compiled):
            raise
    finally:
        for parameter in separator.parameters():
            parameter.grad = None
    # Not before the error is gone, which keeps the signals of the step.
    gc.collect()
    torch.cuda.empty_cache()
    if is_memory:
        return False
    # The gradient is compiled by the backward pass only. If the step fails without
    # compiling too, that was not the reason.
    separator.compiled = None
    fits = _fits(brain, batch, samples)
    separator.stop_compiling(reason)
    return fits


def _step(brain, separator, batch, samples):
    """A step on noise that takes the memory of a real one."""
    generator = torch.Generator().manual_seed(0)
    shape = batch, samples, brain.hparams.num_spks
    sources = torch.randn(shape, generator=generator).to(brain.device)
    cuda = [brain.device] if brain.device_type == "cuda" else []
    with seeded(0), torch.random.fork_rng(cuda), brain.training_ctx:
        loss = brain.hparams.loss(separator(sources.sum(-1)), sources)
    # Adam's two states are made by the first step, or loaded by a resume.
    optimizers = (brain.optimizers_dict or {}).values()
    copies = 0 if any(optimizer.state for optimizer in optimizers) else 2
    states = [
        torch.empty_like(p)
        for p in separator.parameters()
        for _ in range(copies)
    ]
    brain.scaler.scale(loss.mean()).backward()
    del states
