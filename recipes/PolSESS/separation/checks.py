"""Errors at the door: a configuration is checked before any data is read.

Authors
 * The PolSESS recipe team 2026
"""

import difflib
import math
import os
from importlib.metadata import version

from mmipc import VARIANTS, check_task, counts_in_means, num_outputs
from options import option_value
from packaging.version import Version
from scorer import find_metrics

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

PRECISIONS = ("fp32", "fp16", "bf16")
# Package -> the oldest version that does not run code out of a checkpoint.
SAFE_SINCE = {
    "speechbrain": ("1.1.2", "older ones run code that a CKPT.yaml holds"),
    "torch": ("2.6", "older ones run code that a checkpoint's tensors hold"),
}
UNSAFE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


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
    # A YAML that says so has no keys of a model or of a training.
    is_test = hparams.get("test_only")
    errors = [
        *_safety_errors(),
        *_data_errors(hparams),
        *_variant_errors(hparams),
        *(_trained_errors(hparams) if is_test else _model_errors(hparams)),
        *_training_errors(hparams, run_opts),
        *_loader_errors(hparams),
        *_test_errors(hparams),
    ]
    if errors:
        raise ValueError(
            "the configuration has errors:\n- " + "\n- ".join(errors)
        )


def _safety_errors():
    if os.environ.get(UNSAFE_SWITCH, "0").lower() not in (
        "",
        "0",
        "n",
        "no",
        "false",
    ):
        yield (
            f"the environment variable {UNSAFE_SWITCH} lets checkpoints run "
            "code; unset it"
        )
    for package, (oldest, reason) in SAFE_SINCE.items():
        if Version(version(package)) < Version(oldest):
            yield (
                f"{package} {version(package)} is installed, {oldest} or newer "
                f"is needed: {reason}; pip install '{package}>={oldest}'"
            )


def _data_errors(hparams):
    if not isinstance(hparams["skip_prep"], bool):
        yield _not_bool("skip_prep", hparams)
    folders = hparams["data_folder"]
    if not folders:
        yield (
            "data_folder: expected the folder of a PolSESS corpus, found none; "
            "give --data_folder=/path/to/PolSESS, or set the environment "
            "variable POLSESS_DATA_ROOT, or make a corpus: simulate/make_corpus.py"
        )
        return
    for folder in folders if isinstance(folders, list) else [folders]:
        if not os.path.isdir(os.path.expanduser(folder)):
            yield (
                f"data_folder: {folder} is no folder; give --data_folder, or, "
                "for PolSESS, set POLSESS_DATA_ROOT or make a corpus: "
                "simulate/make_corpus.py"
            )
    folder = hparams.get("packed_folder")
    if folder is not None and not isinstance(folder, str):
        yield f"packed_folder: expected a folder or null, found {folder!r}"
    for key in ("n_train", "n_valid", "n_test"):
        limit = hparams.get(key)
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
        if key in hparams
    }
    for number, stage in enumerate(hparams.get("curriculum") or []):
        key = f"curriculum[{number}]"
        if not isinstance(stage, dict) or set(stage) != {"epoch", "variants"}:
            yield f"{key}: expected {{epoch, variants}}, found {stage!r}"
            continue
        if not isinstance(stage["epoch"], int) or stage["epoch"] < 1:
            yield f"{key}.epoch: expected 1, 2, ..., found {stage['epoch']!r}"
        lists[f"{key}.variants"] = stage["variants"]
    chosen = lists.get("valid_variants", VARIANTS) or []
    if not any(counts_in_means(v, task) for v in chosen):
        yield f"valid_variants: {task} needs one besides C to select a model"
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


def _not_bool(key, hparams):
    return (
        f"{key}: expected True or False, found {hparams[key]!r}; "
        f"write --{key}=True"
    )


def _trained_errors(hparams):
    """What is wrong with the model that is to be tested."""
    if not hparams["init_from"]:
        yield (
            "init_from: expected a trained model to test, found none; give "
            "the output folder of a run, one of its checkpoints or an export, "
            "for instance --init_from=results/convtasnet_SB/1234"
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
    if not isinstance(hparams["causal"], bool):
        yield _not_bool("causal", hparams)
    elif hparams["causal"] and hparams["norm_type"] == "gLN":
        yield (
            "causal: gLN averages over the whole mixture, which is not causal; "
            "use --norm_type=cLN"
        )


def _training_errors(hparams, run_opts):
    for key in ("precision", "eval_precision"):
        value = option_value(key, hparams, run_opts)
        if value not in PRECISIONS:
            yield f"{key}: expected one of {PRECISIONS}, found {value!r}"
    if option_value("max_grad_norm", hparams, run_opts) <= 0:
        yield (
            "max_grad_norm: SpeechBrain reverses the gradients when it is "
            "negative; to switch clipping off use 1e9"
        )
    segment_seconds = hparams.get("segment_seconds")
    if segment_seconds is not None:
        samples = round(segment_seconds * hparams["sample_rate"])
        least = hparams["separator"].min_samples
        if samples < least:
            seconds = math.ceil(1e4 * least / hparams["sample_rate"]) / 1e4
            yield (
                f"segment_seconds: {segment_seconds} s is too short for the "
                f"network; expected {seconds:g} s or more"
            )


def _loader_errors(hparams):
    if not isinstance(hparams["pin_memory"], bool):
        yield _not_bool("pin_memory", hparams)
    if hparams["prefetch_factor"] is not None and not hparams["num_workers"]:
        yield (
            "prefetch_factor: nothing is made ahead without workers; leave it "
            "out, or give --num_workers=1 or more"
        )


def _test_errors(hparams):
    for key in ("metrics", "strata"):
        if not isinstance(hparams[key], list):
            yield f"{key}: expected a list, found {hparams[key]!r}"
            return
    try:
        metrics = find_metrics(hparams["metrics"])
    except ValueError as error:
        yield str(error)
        return
    for name, metric in metrics.items():
        rates = getattr(metric, "sample_rates", [hparams["sample_rate"]])
        if hparams["sample_rate"] not in rates:
            yield (
                f"metrics: {name} is defined at {rates} Hz, sample_rate is "
                f"{hparams['sample_rate']}"
            )
    limit = hparams["save_audio"]
    if not (limit is None or limit == "all" or type(limit) is int) or (
        type(limit) is int and limit < 0
    ):
        yield f"save_audio: expected a number of mixtures or all, found {limit!r}"
