"""What makes a checkpoint whole: weights, meta, and the sums of its files.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import json
import math
import numbers
import os

import torch

from speechbrain.utils.checkpoints import METAFNAME

SUMS = "sha256.json"
INVALID = "invalid"  # in the meta: keys whose value was no finite number


def plain(meta):
    """A meta of plain finite numbers.

    Raises TypeError for anything that YAML would not read back.

    Arguments
    ---------
    meta : dict
        Of texts, bools and numbers, of Python, numpy or torch.

    Returns
    -------
    dict
        Without numbers that are not finite, which ``invalid`` lists.

    Example
    -------
    >>> import torch
    >>> plain({"epoch": 3, "loss": torch.tensor(0.5), "si_sdri": math.nan})
    {'epoch': 3, 'loss': 0.5, 'invalid': ['si_sdri']}
    """
    kept, invalid = {}, []
    for key, value in meta.items():
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, numbers.Real) and not math.isfinite(value):
            invalid.append(key)
        elif isinstance(value, (str, bool, int, float, type(None))):
            kept[key] = value
        else:
            raise TypeError(
                f"meta {key}: expected a number or a text, found {value!r}"
            )
    return {**kept, INVALID: invalid} if invalid else kept


def check_weights(recoverables):
    """Raises ValueError that names weights which are not finite.

    Arguments
    ---------
    recoverables : dict
        Name -> what is to be saved, of which modules are looked at.
    """
    for name, recoverable in recoverables.items():
        if not isinstance(recoverable, torch.nn.Module):
            continue
        for key, value in recoverable.state_dict().items():
            if torch.is_tensor(value) and not value.isfinite().all():
                raise ValueError(
                    f"{name}.{key} is not finite: such weights are never "
                    "saved; the checkpoints before are intact"
                )


def has_whole_meta(folder):
    """Whether the meta of a checkpoint can be read and is what was saved.

    Arguments
    ---------
    folder : Path
        Of the checkpoint.

    Returns
    -------
    bool
        Quick: other files are not looked at.
    """
    try:
        return _sums_in(folder)[METAFNAME] == _sum_of(folder / METAFNAME)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def find_problem(folder):
    """Why a checkpoint cannot be trusted.

    Arguments
    ---------
    folder : Path
        Of the checkpoint.

    Returns
    -------
    str
        Empty if it can.
    """
    try:
        sums = _sums_in(folder)
        for name, expected in sums.items():
            if _sum_of(folder / name) != expected:
                return f"{name} is not what was saved"
    except (OSError, ValueError, AttributeError) as error:
        return f"it is not complete ({error})"
    if METAFNAME not in sums:
        return f"{METAFNAME} is missing"
    return ""


def seal(folder):
    """Writes the sums of a folder's files into it, and all of it to disk.

    Arguments
    ---------
    folder : Path
        Of a checkpoint.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sums = {path.name: _sum_of(path) for path in files}
    with open(folder / SUMS, "w", encoding="utf-8") as file:
        json.dump(sums, file, indent=1)
    for path in [*files, folder / SUMS, folder]:
        to_disk(path)


def _sums_in(folder):
    with open(folder / SUMS, encoding="utf-8") as file:
        return json.load(file)


def _sum_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def to_disk(path):
    """Waits until the disk has a file, or the entries of a folder.

    Arguments
    ---------
    path : Path
        Of either.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
