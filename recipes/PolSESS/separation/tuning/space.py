"""The search space of a study: keys of a training's YAML, and their values.

Authors
 * The PolSESS recipe team 2026
"""

import math

import yaml
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

FORMS = "{low, high}, {low, high, log: true}, {low, high, step} or {choices}"
SCALARS = (str, int, float, bool, type(None))


def read_space(path, hparams, words):
    """Reads and checks a search space.

    Raises ValueError that names the key where the space cannot be used.

    Arguments
    ---------
    path : str
        YAML, key -> ``{low, high}``, with ``log: true`` or ``step``, or
        ``{choices: [...]}``. Whole numbers give whole numbers.
    hparams : str
        YAML of the training, which is read and not executed.
    words : list of str
        Fixed overrides of the command line.

    Returns
    -------
    dict
        Key -> distribution of Optuna.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
        try:
            forms = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path} is no plain YAML: {reason}") from error
    if not isinstance(forms, dict) or not forms:
        raise ValueError(f"{path}: expected key: {FORMS}, found {forms!r}")
    with open(hparams, encoding="utf-8") as file:
        root = yaml.compose(file, Loader=yaml.SafeLoader)
    known = {key.value for key, _ in getattr(root, "value", None) or []}
    given = {word[2:].partition("=")[0] for word in words if word[:2] == "--"}
    names = [key.value for key, _ in yaml.compose(text).value]
    for key in forms:
        if names.count(key) > 1:
            raise ValueError(f"{path}: {key} is given twice; leave one out")
        if key not in known:
            raise ValueError(f"{path}: {key!r} is not a key of {hparams}")
        if key in given:
            raise ValueError(
                f"{key}: the space {path} and the command line give it; leave "
                "it out of one of them"
            )
    return {key: _distribution(key, form) for key, form in forms.items()}


def _distribution(key, form):
    """The distribution of a key; raises ValueError where there is none."""
    names = set(form) if isinstance(form, dict) else set()
    if names == {"choices"}:
        choices = form["choices"]
        if isinstance(choices, list) and choices:
            if all(isinstance(choice, SCALARS) for choice in choices):
                return CategoricalDistribution(choices)
        raise ValueError(
            f"{key}: expected choices: [...] of numbers, texts or truth "
            f"values, found {choices!r}"
        )
    if not {"low", "high"} <= names <= {"low", "high", "log", "step"}:
        raise ValueError(f"{key}: expected {FORMS}, found {form!r}")
    log = form.get("log", False)
    numbers = {name: _number(form[name]) for name in sorted(names - {"log"})}
    if not isinstance(log, bool) or None in numbers.values():
        raise ValueError(f"{key}: expected numbers and log: true, found {form}")
    if numbers["low"] > numbers["high"]:
        raise ValueError(f"{key}: expected low <= high, found {form}")
    if log and (numbers["low"] <= 0 or "step" in numbers):
        raise ValueError(
            f"{key}: log needs low > 0 and takes no step, found {form}"
        )
    if numbers.get("step", 1) <= 0:
        raise ValueError(f"{key}: expected step > 0, found {form}")
    whole = all(isinstance(number, int) for number in numbers.values())
    kind = IntDistribution if whole else FloatDistribution
    return kind(log=log, **numbers)


def _number(value):
    """A finite number, also 1e-3, which YAML takes for text; else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def overrides(values):
    """Writes values as overrides of train.py, which reads them as YAML.

    Arguments
    ---------
    values : dict
        Key -> number, text, truth value or None.

    Returns
    -------
    list of str
        Words of the command line.

    Example
    -------
    >>> overrides({"lr": 1e-05, "B": 64, "norm_type": "gLN", "causal": "no"})
    ['--lr=1.0e-05', '--B=64', '--norm_type=gLN', "--causal='no'"]
    """
    return [
        # In a list a scalar has no end marker.
        f"--{key}={yaml.safe_dump([value], width=math.inf)[2:-1]}"
        for key, value in values.items()
    ]
