"""A mix-in that fits a training to the hardware: compiles it, checks its memory.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from randomness import seeded

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

# How torch and oneDNN say on a CPU that there is no memory; a GPU has a class.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory",
)


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
            self.modules.separator.compile_training(
                mode=self.compile_mode,
                fullgraph=self.compile_using_fullgraph,
                dynamic=self.compile_using_dynamic_shape_tracing,
            )
            self.compile_module_keys = [k for k in keys if k != "separator"]
            self.compile = bool(self.compile_module_keys)
        super().on_fit_start()
        check_memory(self)


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
    hparams = brain.hparams
    rows = brain.train_loader.dataset.data.values()
    seconds = max(float(row["duration"]) for row in rows)
    seconds = min(seconds, hparams.segment_seconds or seconds)
    wanted = min(hparams.batch_size, len(rows))
    batch = wanted
    while batch and not _fits(
        brain, batch, round(seconds * hparams.sample_rate)
    ):
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
    """Whether a step has enough memory."""
    separator = brain.modules.separator
    separator = getattr(separator, "module", separator)  # without DDP
    parameters = list(separator.parameters())
    generator = torch.Generator().manual_seed(0)
    shape = batch, samples, brain.hparams.num_spks
    sources = torch.randn(shape, generator=generator).to(brain.device)
    cuda = [brain.device] if brain.device_type == "cuda" else []
    separator.train()
    try:
        with seeded(0), torch.random.fork_rng(cuda), brain.training_ctx:
            loss = brain.hparams.loss(separator(sources.sum(-1)), sources)
        # Adam's two states are made by the first step.
        states = [torch.empty_like(p) for p in parameters + parameters]
        brain.scaler.scale(loss.mean()).backward()
        del states
        return True
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
    finally:
        for parameter in parameters:
            parameter.grad = None
    return False


def _is_out_of_memory(error):
    kinds = (torch.OutOfMemoryError, MemoryError)
    text = str(error).lower()
    return isinstance(error, kinds) or any(t in text for t in OUT_OF_MEMORY)
