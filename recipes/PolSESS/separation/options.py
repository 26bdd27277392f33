"""Run options that depend on the device or on the corpus.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import replace

import torch

from speechbrain.utils.distributed import infer_device
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


def option_value(key, hparams, run_opts):
    """A run option by SpeechBrain's order: command line, YAML, default.

    Arguments
    ---------
    key : str
        Name of the run option.
    hparams : dict
        The loaded YAML.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.

    Returns
    -------
    object
        Its value.
    """
    if key in run_opts.overridden_args:
        return run_opts[key]
    return hparams.get(key, run_opts[key])


def supported_options(hparams, run_opts):
    """Replaces run options that do not go with the device or one another.

    Without a CUDA GPU fp16 becomes fp32, on one without bf16 that becomes fp16, and
    a line says so. A number of steps between checkpoints replaces the YAML's number
    of minutes. Where the YAML says test_only, the run options do so too.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.

    Returns
    -------
    speechbrain.utils.run_opts.RunOptions
        The run options to use; they have the last word over the YAML.
    """
    device = option_value("device", hparams, run_opts) or infer_device()
    replaced = {}
    interval = {"ckpt_interval_minutes", "ckpt_interval_steps"}
    if interval & set(run_opts.overridden_args) == {"ckpt_interval_steps"}:
        replaced["ckpt_interval_minutes"] = 0
    for key in ("precision", "eval_precision"):
        precision = option_value(key, hparams, run_opts)
        # Brain refuses it on a CPU; elsewhere it would not scale the loss.
        if precision == "fp16" and not device.startswith("cuda"):
            logger.warning(
                f"{key}: fp16 needs a CUDA GPU, fp32 is used on {device}"
            )
            replaced[key] = "fp32"
        elif precision == "bf16" and not _has_bf16(device):
            logger.warning(f"{key}: {device} has no bf16, fp16 is used")
            replaced[key] = "fp16"
    # Not as an option of the command line: Brain reads the YAML, too.
    test_only = option_value("test_only", hparams, run_opts)
    return _with_options(replace(run_opts, test_only=test_only), replaced)


def _has_bf16(device):
    """Whether it computes in bf16 itself; emulated, it is slow."""
    return not device.startswith("cuda") or torch.cuda.is_bf16_supported(
        including_emulation=False
    )


def _with_options(run_opts, replaced):
    """The run options with others, which then have the last word."""
    overridden = {*run_opts.overridden_args, *replaced}
    return replace(run_opts, **replaced, overridden_args=overridden)
