"""Integrity of a checkpoint: finite weights, plain meta, checksums of files.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import json
import math
import numbers

import torch
from runs.folder import fsync_path

from speechbrain.utils.checkpoints import METAFNAME

CHECKSUMS = "sha256.json"
INVALID = "invalid"  # key of the meta: names of values that were not finite


def plain_meta(meta):
    """Converts a meta to plain finite values.

    Raises TypeError for anything that YAML would not read back.

    Arguments
    ---------
    meta : dict
        Texts, bools and numbers, of Python, numpy or torch.

    Returns
    -------
    dict
        Without numbers that are not finite, which ``invalid`` lists.

    Example
    -------
    >>> import torch
    >>> plain_meta({"epoch": 3, "loss": torch.tensor(0.5), "si_sdri": math.nan})
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
        Name -> object to save; only modules are checked.
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


def has_intact_meta(folder):
    """Checks the meta of a checkpoint, and no other file: this is quick.

    Arguments
    ---------
    folder : Path
        The checkpoint.

    Returns
    -------
    bool
        True if the meta can be read and has its checksum.
    """
    try:
        return _checksums_in(folder)[METAFNAME] == _sha256(folder / METAFNAME)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def find_problem(folder):
    """Says why a checkpoint cannot be trusted.

    Arguments
    ---------
    folder : Path
        The checkpoint.

    Returns
    -------
    str
        Empty if it can be trusted.
    """
    try:
        checksums = _checksums_in(folder)
        for name, expected in checksums.items():
            if _sha256(folder / name) != expected:
                return f"{name} is not what was saved"
    except (OSError, ValueError, AttributeError) as error:
        return f"it is not complete ({error})"
    if METAFNAME not in checksums:
        return f"{METAFNAME} is missing"
    return ""


def write_checksums(folder):
    """Writes the checksums of a folder's files into it; syncs all to disk.

    Arguments
    ---------
    folder : Path
        The checkpoint.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    checksums = {path.name: _sha256(path) for path in files}
    with open(folder / CHECKSUMS, "w", encoding="utf-8") as file:
        json.dump(checksums, file, indent=1)
    for path in [*files, folder / CHECKSUMS, folder]:
        fsync_path(path)


def _checksums_in(folder):
    with open(folder / CHECKSUMS, encoding="utf-8") as file:
        return json.load(file)


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
