"""Errors at the door: a configuration is checked before any data is read.

Authors
 * The PolSESS recipe team 2026
"""

import difflib
import math
import os
from dataclasses import replace

from metrics import METRICS, SAMPLE_RATES
from mmipc import VARIANTS, check_task, counts_in_means, num_outputs

from speechbrain.utils.distributed import infer_device
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

PRECISIONS = ("fp32", "fp16", "bf16")


def check_hparams(hparams, run_opts):
    """Checks the values of a YAML with its overrides.

    Raises ValueError that lists everything that is wrong.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.
    """
    errors = [
        *_data_errors(hparams),
        *_variant_errors(hparams),
        *_model_errors(hparams),
        *_training_errors(hparams, run_opts),
    ]
    if errors:
        raise ValueError(
            "the configuration has errors:\n- " + "\n- ".join(errors)
        )


def supported_precision(hparams, run_opts):
    """Falls back to fp32 where there is no CUDA GPU for fp16, and says so.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.

    Returns
    -------
    speechbrain.utils.run_opts.RunOptions
        The run options, which have the last word, with the precisions to use.
    """
    device = _option("device", hparams, run_opts) or infer_device()
    replaced = {}
    for key in ("precision", "eval_precision"):
        fp16 = _option(key, hparams, run_opts) == "fp16"
        # Brain refuses it on a CPU; elsewhere it would not scale the loss.
        if fp16 and not device.startswith("cuda"):
            logger.warning(
                f"{key}: fp16 needs a CUDA GPU, fp32 is used on {device}"
            )
            replaced[key] = "fp32"
    return _with_options(run_opts, replaced)


def supported_accumulation(hparams, run_opts):
    """Shortens gradient accumulation to what an epoch of a tiny corpus has.

    SpeechBrain makes a step at every grad_accumulation_factor-th batch of an
    epoch; with fewer batches it would never make one, without a word.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, with the sampler of the training set if there is one.
    run_opts : speechbrain.utils.run_opts.RunOptions
        Run options of the command line.

    Returns
    -------
    speechbrain.utils.run_opts.RunOptions
        The run options with the factor to use.
    """
    sampler = hparams["train_loader_kwargs"].get("sampler")
    if sampler is None:
        return run_opts
    key, mixtures = "grad_accumulation_factor", sampler.shortest
    factor = _option(key, hparams, run_opts)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    batches = math.ceil(mixtures / processes / hparams["batch_size"])
    if batches >= factor:
        return run_opts
    logger.warning(
        f"{key}: {mixtures} mixtures make {batches} batches an epoch, so "
        f"gradients are accumulated over {batches} batches, not {factor}"
    )
    return _with_options(run_opts, {key: batches})


def check_checkpoint(hparams):
    """Refuses to test a model that was neither trained nor loaded.

    Raises ValueError when no checkpoint of a whole epoch is at hand:
    SpeechBrain would test the random weights without a word.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    """
    best = hparams["checkpointer"].find_checkpoint(max_key="si_sdri")
    if best is None and not hparams["init_from"]:
        raise ValueError(
            f"{hparams['save_folder']}: expected a checkpoint to test, found "
            "none; train first, or name the run with --output_folder, or "
            "load weights with --init_from"
        )


def _option(key, hparams, run_opts):
    """A run option by SpeechBrain's order: command line, YAML, default."""
    if key in run_opts.overridden_args:
        return run_opts[key]
    return hparams.get(key, run_opts[key])


def _with_options(run_opts, replaced):
    """The run options with others, which then have the last word."""
    overridden = {*run_opts.overridden_args, *replaced}
    return replace(run_opts, **replaced, overridden_args=overridden)


def _data_errors(hparams):
    folders = hparams["data_folder"]
    if not folders:
        yield (
            "data_folder: expected the folder of a PolSESS corpus, found none; "
            "give --data_folder=/path/to/PolSESS, or set the environment "
            "variable POLSESS_DATA_ROOT, or make a corpus with `make demo`"
        )
        return
    for folder in folders if isinstance(folders, list) else [folders]:
        if not os.path.isdir(os.path.expanduser(folder)):
            yield (
                f"data_folder: {folder} is no folder; give --data_folder, or "
                "set POLSESS_DATA_ROOT, or make a corpus with `make demo`"
            )
    for key in ("n_train", "n_valid", "n_test"):
        limit = hparams[key]
        if limit is not None and not (isinstance(limit, int) and limit > 0):
            yield f"{key}: expected a positive integer or null, found {limit!r}"


def _variant_errors(hparams):
    task = hparams["task"]
    try:
        check_task(task)
    except ValueError as error:
        yield str(error)
        return
    lists = {
        key: hparams[key]
        for key in ("variants", "valid_variants", "test_variants")
    }
    for number, stage in enumerate(hparams["curriculum"] or []):
        key = f"curriculum[{number}]"
        if not isinstance(stage, dict) or set(stage) != {"epoch", "variants"}:
            yield f"{key}: expected {{epoch, variants}}, found {stage!r}"
            continue
        if not isinstance(stage["epoch"], int) or stage["epoch"] < 1:
            yield f"{key}.epoch: expected 1, 2, ..., found {stage['epoch']!r}"
        lists[f"{key}.variants"] = stage["variants"]
    for key, variants in lists.items():
        if not isinstance(variants, list) or not variants:
            yield (
                f"{key}: expected a list out of {', '.join(VARIANTS)}, "
                f"found {variants!r}"
            )
            continue
        for variant in variants:
            if variant not in VARIANTS:
                near = difflib.get_close_matches(
                    str(variant).upper(), VARIANTS, 1, 0
                )
                yield (
                    f"{key}: {variant!r} is none of {', '.join(VARIANTS)}; "
                    f"is {near[0]} meant?"
                )
        if "C" in variants and not counts_in_means("C", task):
            logger.warning(
                f"{key} names C: for {task} its mixture is the reference up to "
                "rounding, so the loss is unbounded and SI-SDR says nothing; it "
                "is left out of every mean"
            )


def _model_errors(hparams):
    outputs = num_outputs(hparams["task"])
    if hparams["num_spks"] != outputs:
        yield (
            f"num_spks: task {hparams['task']} has {outputs} output(s), found "
            f"{hparams['num_spks']}; it follows from the task, do not set it"
        )
    kernel_size, stride = hparams["kernel_size"], hparams["stride"]
    if stride != kernel_size // 2:
        yield (
            f"stride: SpeechBrain's encoder moves by half its kernel, "
            f"expected {kernel_size // 2} for kernel_size {kernel_size}, "
            f"found {stride}"
        )
    if hparams["causal"] and hparams["norm_type"] == "gLN":
        yield (
            "causal: gLN averages over the whole mixture, which is not causal; "
            "use --norm_type=cLN"
        )


def _training_errors(hparams, run_opts):
    for key in ("precision", "eval_precision"):
        value = _option(key, hparams, run_opts)
        if value not in PRECISIONS:
            yield f"{key}: expected one of {PRECISIONS}, found {value!r}"
    if _option("max_grad_norm", hparams, run_opts) <= 0:
        yield (
            "max_grad_norm: SpeechBrain reverses the gradients when it is "
            "negative; to switch clipping off use 1e9"
        )
    segment_seconds = hparams["segment_seconds"]
    if segment_seconds is not None:
        samples = segment_seconds * hparams["sample_rate"]
        if samples < hparams["kernel_size"]:
            yield f"segment_seconds: {segment_seconds} s is less than a kernel"
    if not isinstance(hparams["metrics"], list):
        yield f"metrics: expected a list, found {hparams['metrics']!r}"
        return
    for name in hparams["metrics"]:
        rates = SAMPLE_RATES.get(name, (hparams["sample_rate"],))
        if name not in METRICS:
            yield f"metrics: {name!r} is none of {', '.join(METRICS)}"
        elif hparams["sample_rate"] not in rates:
            yield (
                f"metrics: {name} is defined at {rates} Hz, sample_rate is "
                f"{hparams['sample_rate']}"
            )
