"""Run options of SpeechBrain, checked before any data is read.

Authors
 * The PolSESS recipe team 2026
"""

import math
from dataclasses import asdict, replace
from typing import get_args, get_type_hints

import torch

from speechbrain.utils.run_opts import RunOptions

HINTS = get_type_hints(RunOptions)
INTERVALS = ("ckpt_interval_steps", "ckpt_interval_minutes")
LOWEST = {
    "grad_accumulation_factor": 1,
    "optimizer_step_limit": 1,
    "debug_batches": 1,
    "nonfinite_patience": 0,
}
# torch.compile has one that SpeechBrain does not list.
MORE_CHOICES = {"compile_mode": ("max-autotune-no-cudagraphs",)}


def check_run_options(run_opts, hparams, modules):
    """Checks and converts the run options of command line and YAML.

    SpeechBrain leaves those without a default as text (optimizer_step_limit),
    takes any value from a YAML, and does not use an abbreviated option. It
    exits when the command line gives ckpt_interval_steps and the YAML
    ckpt_interval_minutes; here the command line wins. A negative max_grad_norm
    disables clipping, as SpeechBrain's help says. Raises ValueError that names
    the option for a value that makes no sense.

    Arguments
    ---------
    run_opts : speechbrain.utils.run_opts.RunOptions or dict
        Options of the command line; None for none.
    hparams : dict
        The loaded YAML.
    modules : dict
        Name -> module, for options that name modules.

    Returns
    -------
    speechbrain.utils.run_opts.RunOptions
        To be given to sb.Brain.

    Example
    -------
    >>> options = {"optimizer_step_limit": "5", "max_grad_norm": -1}
    >>> options = check_run_options(options, {"nonfinite_patience": 2}, {})
    >>> options.optimizer_step_limit, options.max_grad_norm
    (5, inf)
    """
    if isinstance(run_opts, dict):
        run_opts = RunOptions.from_dictionary(run_opts)
    run_opts = run_opts or RunOptions()
    given = set(run_opts.overridden_args)
    _refuse_abbreviations(run_opts, given)
    # Priority: defaults, YAML, command line.
    values = {k: v for k, v in (hparams or {}).items() if k in HINTS}
    values.update({name: run_opts[name] for name in given})
    checked = {
        name: checked_option(name, value) for name, value in values.items()
    }
    if given.intersection(INTERVALS) == {INTERVALS[0]}:
        checked[INTERVALS[1]] = 0
    elif given.intersection(INTERVALS) == {INTERVALS[1]}:
        checked[INTERVALS[0]] = 0
    if checked.get("max_grad_norm", 1) < 0:
        checked["max_grad_norm"] = math.inf
    if all(checked.get(name, 0) > 0 for name in INTERVALS):
        raise ValueError(f"{' and '.join(INTERVALS)}: give one of them")
    if checked.get("log_config") is not None:
        raise ValueError("log_config: SpeechBrain ignores it; leave it out")
    _check_modules(checked, modules)
    _check_device(checked.get("device"))
    changed = {n for n, v in checked.items() if v != values.get(n)}
    return replace(run_opts, **checked, overridden_args=given | changed)


def _refuse_abbreviations(run_opts, given):
    """argparse takes --precis for --precision, but Brain does not use it."""
    defaults = asdict(RunOptions())
    for name in set(defaults) - given - {"param_file", "overridden_args"}:
        if run_opts[name] != defaults[name]:
            raise ValueError(
                f"--{name}: found an abbreviation of it; write it in full"
            )


def checked_option(name, value):
    """Converts the value of an option to the type that RunOptions declares.

    Raises ValueError that names the option for a value that makes no sense.
    """
    hint = HINTS[name]
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if value is None and len(kinds) < len(get_args(hint)):
        return None
    if kinds and all(isinstance(kind, str) for kind in kinds):
        choices = (*kinds, *MORE_CHOICES.get(name, ()))
        if value not in choices:
            raise _error(name, f"one of {', '.join(choices)}", value)
        return value
    kind = kinds[0] if hint is not dict and len(kinds) == 1 else hint
    if kind in (int, float):
        return _number(name, value, kind)
    if kind is bool and not isinstance(value, bool):
        raise _error(name, "True or False", value)
    return value


def _number(name, value, kind):
    is_interval = name == "ckpt_interval_minutes"  # 0.5 in a YAML is fine
    try:
        number = float(value)
        is_valid = not isinstance(value, bool) and (
            math.isfinite(number)
            if is_interval or kind is float
            else number == int(number)
        )
    except (TypeError, ValueError, OverflowError):
        is_valid = False
    if not is_valid:
        raise _error(name, "a number", value)
    if number < LOWEST.get(name, number):
        raise _error(name, f"{LOWEST[name]} or more", value)
    if name == "max_grad_norm" and number == 0:
        raise _error(name, "a number above 0, or a negative one to disable", 0)
    return number if is_interval or kind is float else int(number)


def _check_modules(options, modules):
    """Refuses modules that do not exist, or that TorchScript cannot compile."""
    for flag in ("jit", "compile"):
        name = f"{flag}_module_keys"
        keys = options.get(name)
        if keys is not None and not set(keys) <= set(modules):
            raise _error(name, f"some of {', '.join(modules)}", keys)
        if keys is not None and not options.get(flag):
            raise ValueError(f"{name}: it has no effect without --{flag}")
    if options.get("jit"):
        for name in options.get("jit_module_keys") or modules:
            try:
                torch.jit.script(modules[name])
            except Exception as error:
                reason = str(error).strip().splitlines()[0]
                raise ValueError(
                    f"--jit: TorchScript cannot compile the module {name} "
                    f"({reason}); use --compile"
                ) from error


def _check_device(device):
    if device is not None:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"device: {device} is not usable: {reason}") from (
                error
            )


def _error(name, expected, found):
    return ValueError(f"{name}: expected {expected}, found {found!r}")
