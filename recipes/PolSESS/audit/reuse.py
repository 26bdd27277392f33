"""Reuses prepared PolSESS manifests as long as nothing changed.

prepare.json holds, for each split, the hash of all that its manifests depend on
and the hashes of the manifests themselves.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from audit.corpora import SUBSETS
from audit.metadata import FILES

RECORDS = "prepare.json"

# What an interrupted preparation may leave is removed after this time.
LEFTOVER_SECONDS = 3600
TEMPORARY = ".prepare_"


def hash_inputs(sources, options):
    """Hashes all that the manifests of each split depend on.

    Audio files count with name, size and time of change: for 128,000 mixtures
    that takes seconds, reading them would take many minutes.

    Arguments
    ---------
    sources : list of Source
        From ``audit.corpora.locate``.
    options : list of str
        Options that change the manifests.

    Returns
    -------
    inputs : dict
        Split -> hash.
    """
    package = Path(__file__).resolve().parent
    code = [
        package.parent / "prepare_polsess.py",
        *sorted(package.glob("*.py")),
    ]
    start = repr(options).encode() + b"".join(p.read_bytes() for p in code)
    hashes = {source.split: hashlib.sha256(start) for source in sources}
    for split, _, root, prefix, metadata in sources:
        name = prefix + os.path.relpath(metadata, root)
        hashes[split].update(name.encode("utf-8", "surrogateescape"))
        hashes[split].update(metadata.read_bytes())
        for _, folder in sorted(set(FILES.values())):
            hash_folder(hashes[split], root / SUBSETS[split] / folder)
    return {split: digest.hexdigest() for split, digest in hashes.items()}


def hash_folder(digest, path):
    """Adds the names, sizes and times of change of a folder's files.

    Arguments
    ---------
    digest : hashlib's hash
        Changed in place.
    path : Path
        The folder; one that does not exist adds nothing.
    """
    entries = os.scandir(path) if path.is_dir() else []
    for entry in sorted(entries, key=lambda entry: entry.name):
        broken = entry.is_symlink() and not os.path.exists(entry)
        status = entry.stat(follow_symlinks=not broken)
        line = f"{entry.name} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))


def find_change(save_folder, splits, inputs):
    """Says why manifests cannot be reused.

    Arguments
    ---------
    save_folder : Path
        Where they may lie.
    splits : list of str
        Which are needed.
    inputs : dict
        From ``hash_inputs``; without a split if its metadata is missing.

    Returns
    -------
    change : str
        Empty if they can be reused.
    """
    records = _read_records(save_folder)
    for split in splits:
        if split not in records:
            return f"no earlier preparation of {split} in {save_folder}"
        if records[split]["inputs"] != inputs.get(split):
            return f"the {split} corpus, an option or the script has changed"
        for name, digest in records[split]["outputs"].items():
            path = save_folder / name
            if not path.is_file() or _hash(path.read_bytes()) != digest:
                return f"{name} was changed or removed"
    for name in ("audit.csv", "excluded.csv"):
        if not (save_folder / name).is_file():
            return f"{name} was removed"
    return ""


def _read_records(save_folder):
    """What prepare.json says of earlier preparations: split -> record."""
    try:
        with open(save_folder / RECORDS, encoding="utf-8") as file:
            records = json.load(file)
        keys = {"inputs", "outputs"}
        return {
            s: record for s, record in records.items() if keys <= set(record)
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # None yet, or not one of ours: all is prepared anew.


def _hash(content):
    """The hash by which prepare.json knows a file again."""
    return hashlib.sha256(content).hexdigest()


def replace_files(save_folder, contents, splits, inputs):
    """Writes files under other names, then puts all in place, records last.

    An interruption leaves the files of before, complete ones of now, or both;
    the next preparation sees it from their hashes.

    Arguments
    ---------
    save_folder : Path
        Made if necessary.
    contents : dict
        File name -> bytes.
    splits : list of str
        Their former records become void.
    inputs : dict
        Split -> hash of its inputs, for splits whose manifests are written.
    """
    records = _read_records(save_folder)
    for split in splits:
        records.pop(split, None)
        outputs = {
            name: _hash(content)
            for name, content in contents.items()
            if name.startswith(f"{split}_")
        }
        if outputs:
            records[split] = {"inputs": inputs[split], "outputs": outputs}
    record = json.dumps(records, indent=1, sort_keys=True).encode("utf-8")
    contents = {**contents, RECORDS: record}
    save_folder.mkdir(parents=True, exist_ok=True)
    for leftover in save_folder.glob(f"{TEMPORARY}*"):
        # Another preparation may remove the same one now.
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(
        prefix=TEMPORARY, dir=save_folder
    ) as folder:
        for name, content in contents.items():
            Path(folder, name).write_bytes(content)
        for name in contents:
            os.replace(Path(folder, name), save_folder / name)
