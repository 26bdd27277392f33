"""The command line of train.py: what is given reaches the YAML, or is refused.

SpeechBrain pastes the words into a YAML. There "=" becomes a blank, what follows
a "#" is lost, and 1234 is no name of a folder. Here the words are quoted before.
The corpus is that of Kleć, Szklanny, Wieczorkowska, 2024.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import difflib
import io
import json
import logging
import math
import os
import re
import sys

import torch
from paths import expand_home
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import speechbrain as sb
from reliability.run_options import HINTS, checked_option

# Type of the value in a YAML -> types that may replace it, and their name.
KINDS = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    list: ((list,), "a list, such as [a, b]"),
    dict: ((dict,), "a mapping, such as {a: 1}"),
}
# Whole numbers begin at 1, others at 0, but for these.
TINY = math.ulp(0)
LOWEST = {
    "seed": 0,
    "num_workers": 0,
    "n_test": 0,
    "lr": TINY,
    "segment_seconds": TINY,
}
HIGHEST = {"seed": 2**32 - 1}
# Of keys that are null or refer to another one in the YAML.
STAND_INS = dict(
    output_folder="",
    save_folder="",
    n_train=1,
    n_valid=1,
    n_test=1,
    valid_variants=[],
)
# Values of another type.
ALSO = {"save_audio": "all"}
ALSO.update(dict.fromkeys(["segment_seconds", "n_train", "n_valid", "n_test"]))
LISTS = ("data_folder",)  # of folders
TUPLE = re.compile(r"\(.*\)")


def shorten_errors():
    """Lets mistakes in what was given end with one line.

    The traceback goes to log.txt, once there is one.
    """
    hook = sys.excepthook

    def say(kind, error, traceback):
        if not issubclass(kind, (ValueError, OSError, YAMLError)):
            return hook(kind, error, traceback)
        found = (kind, error, traceback)
        logging.getLogger(__name__).debug("It ended here:", exc_info=found)
        print(f"error: {error}", file=sys.stderr)

    sys.excepthook = say


def quoted(words):
    """Quotes and checks the words of train.py.

    Raises ValueError that names the option for one that the YAML does not have,
    that is given twice, or whose value has the wrong type or range.

    Arguments
    ---------
    words : list of str
        YAML, run options and overrides, as ``--key=value`` or ``--key value``.

    Returns
    -------
    list of str
        The same, for ``speechbrain.parse_arguments``.
    """
    others, given, values, name = [], {}, {}, None
    for word in expand_home(words):
        if name and not word.startswith("--"):
            values[name], name = word, None
            continue
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            name = None
        elif given.setdefault(name, word) != word:
            raise ValueError(f"{name}: given twice; leave one out")
        if name is None or name in HINTS or name in ("help", ""):
            others.append(word)
            name = None
        elif equals:
            values[name], name = value, None
        else:
            values[name] = None
    path, options = _parse(others)
    for option in options.overridden_args - {"param_file"}:
        checked_option(option, options[option])
    _check_gpus(options)
    with open(path, encoding="utf-8") as file:
        defaults = YAML().load(file)
    return others + [
        f"--{name}={_quoted(name, text, defaults, path)}"
        for name, text in values.items()
    ]


def _parse(words):
    """YAML and run options; argparse's error without its usage."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            path, options, rest = sb.parse_arguments(words)
    except SystemExit as end:
        if not end.code:
            raise
        last = said.getvalue().rpartition("error: ")[2].strip()
        raise ValueError(last.removeprefix("argument --")) from None
    if rest:
        raise ValueError(
            f"{rest}: no value of an option; write --key='a value' in quotes"
        )
    return path, options


def _check_gpus(options):
    """Says what torchrun lacks on a machine with too few GPUs."""
    rank, n_gpus = int(os.environ.get("LOCAL_RANK", -1)), 0
    if rank >= 0 and options.distributed_backend != "gloo":
        n_gpus = torch.cuda.device_count()
        if rank >= n_gpus:
            raise ValueError(
                f"distributed_backend: expected a GPU for each process, found "
                f"{n_gpus}; add --distributed_backend=gloo, or lower torchrun's "
                "--nproc_per_node"
            )


def _quoted(name, text, defaults, path):
    """A value as SpeechBrain has to see it."""
    if name not in defaults:
        close = difflib.get_close_matches(name, [*defaults, *HINTS], 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{name}: {path} has no such key{hint}")
    if text is None:
        raise ValueError(f"{name}: expected a value, as in --{name}=VALUE")
    is_folder = name.endswith("_folder") or name == "init_from"
    value = _value(name, text, is_folder or isinstance(defaults[name], str))
    if is_folder and (re.search("<.*>", text) or TUPLE.fullmatch(text)):
        raise ValueError(
            f"{name}: expected no <...> and (...), of which the YAML makes "
            f"keys and tuples, found {text}"
        )
    if isinstance(value, list) and is_folder:
        value = [str(folder) for folder in value]
    expected = _expected(name, value, STAND_INS.get(name, defaults[name]))
    if expected:
        found = text or "nothing"
        raise ValueError(f"{name}: expected {expected}, found {found}")
    if "=" in text or isinstance(value, str) and not TUPLE.fullmatch(value):
        # JSON is YAML, and \x3D stands for =.
        text = json.dumps(value, ensure_ascii=False, default=str)
        return text.replace("=", r"\x3D")
    return text


def _value(name, text, is_text):
    """The value of a word: the text itself, or the value that YAML reads."""
    begins = "[{'\"!" if not is_text else "['\"" if name in LISTS else "'\""
    is_yaml = text.startswith(tuple(begins))
    if is_text and not is_yaml and text not in ("", "null"):
        return text
    try:
        value = YAML().load(text)
    except YAMLError as error:
        if is_yaml:
            reason = " ".join(str(error).split())
            raise ValueError(f"{name}: {text} is no YAML ({reason})") from error
        return text
    is_plain = isinstance(value, (bool, int, float, type(None)))
    return value if is_yaml or is_plain and "#" not in text else text


def _expected(name, value, default):
    """The type and range that a wrong value misses; None for a right one.

    Objects and references check their values themselves.
    """
    # They have a tag.
    is_tagged = getattr(getattr(default, "tag", None), "value", None)
    kind = next((k for k in KINDS if isinstance(default, k)), None)
    if not kind or is_tagged or ALSO.get(name, kind) == value:
        return None
    kinds, expected = KINDS[kind]
    is_kind = isinstance(value, kinds)
    if kind is not bool and isinstance(value, bool):  # True is an int, too
        is_kind = False
    if kind not in (int, float):
        return None if is_kind and value != "" else expected
    lowest = LOWEST.get(name, min(default, 1 if kind is int else 0))
    highest = HIGHEST.get(name, sys.float_info.max)
    if is_kind and lowest <= value <= highest:
        return None
    limit = "above 0" if 0 < lowest < 1 else f"from {lowest:g} on"
    return f"{expected} {limit}" + f" to {highest}" * (name in HIGHEST)
