"""Finds the recordings of the official table in one's own copies.

Copies differ in folders, case and format (.flac or .opus), so a recording is
known by its name, which is unique in its corpus, and in EMU by its session
too.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import os

from official.table import SESSION, OfficialError

EXTENSIONS = {".wav", ".flac", ".opus", ".ogg", ".mp3"}
SHOWN = 3


def find_files(rows, roots):
    """Adds the user's file to each row.

    Raises OfficialError where a folder holds recordings twice.

    Arguments
    ---------
    rows : list of dict
        Rows of read_official.
    roots : dict
        Source -> folder (str) of its copy.

    Returns
    -------
    found : list of dict
        Copies of the rows that have a file, whose absolute path is filePath.
    missing : list of str
        For each source that lacks recordings their number and examples.
    """
    wanted = collections.defaultdict(dict)
    for row in rows:
        path = row["filePath"]
        wanted[row["source"]][path] = _key(row["source"], path)
    files, missing, twice = {}, [], []
    for source, keys in wanted.items():
        root = roots.get(source)
        present = _index(source, root) if root else {}
        lost = [path for path, key in keys.items() if key not in present]
        if lost:
            where = (
                f"below {root}" if root else f"given: --root {source}=FOLDER"
            )
            missing.append(
                f"{source}: {len(lost)} of {len(keys)} recordings are not "
                f"{where}, {_examples(lost)}"
            )
        found = {p: present[key] for p, key in keys.items() if key in present}
        many = [" and ".join(f[:2]) for f in found.values() if len(f) > 1]
        if many:
            twice.append(
                f"{source}: {len(many)} recordings are more than once below "
                f"{root}, {_examples(many)}; name the folder of one copy"
            )
        files.update(((source, path), f[0]) for path, f in found.items())
    if twice:
        raise OfficialError("\n".join(twice))
    return [
        {**row, "filePath": files[row["source"], row["filePath"]]}
        for row in rows
        if (row["source"], row["filePath"]) in files
    ], missing


def _examples(names):
    """The first names, in words."""
    return "for example " + ", ".join(list(names)[:SHOWN])


def _key(source, path):
    """Name of a recording in its corpus; folders do not matter."""
    stem = os.path.splitext(path.rpartition("/")[2])[0].lower()
    session = SESSION.search(path) if source == "emu" else None
    return (session[0].upper(), stem) if session else stem


def _index(source, root):
    """Key -> paths of the audio files below a folder."""
    present = collections.defaultdict(list)
    for folder, folders, names in os.walk(os.path.abspath(root)):
        folders.sort()
        for name in sorted(names):
            extension = os.path.splitext(name)[1].lower()
            if extension in EXTENSIONS and not name.startswith("."):
                path = f"{folder}/{name}"
                key = _key(source, os.path.relpath(path, root))
                present[key].append(path)
    return present
