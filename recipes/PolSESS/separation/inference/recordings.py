"""Which recordings a command line names, and where their sources go.

Authors
 * The PolSESS recipe team 2026
"""

import glob
import os
from pathlib import Path

import soundfile

SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()}
SUFFIXES |= {".aif", ".aifc", ".oga", ".opus"}


def find_recordings(names):
    """The files that the command line names.

    Raises ValueError when a name stands for nothing.

    Arguments
    ---------
    names : list of str
        Files, folders and patterns.

    Returns
    -------
    found : dict
        File -> what its sources are called, relative, without suffix.
    left_alone : int
        Number of other files in folders.
    """
    found, left_alone = {}, 0
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.is_file())
            audio = [p for p in below if p.suffix.lower() in SUFFIXES]
            left_alone += len(below) - len(audio)
            found.update(
                {p: p.relative_to(path).with_suffix("") for p in audio}
            )
        elif path.exists() or not glob.has_magic(name):
            found[path] = Path(path.stem)  # one that is missing is told later
        else:
            matches = sorted(glob.glob(os.path.expanduser(name)))
            files = [Path(m) for m in matches if os.path.isfile(m)]
            found.update({p: Path(p.stem) for p in files})
    if not found:
        raise ValueError(f"no recordings in {', '.join(names)}")
    return found, left_alone


def plan_outputs(found, output_folder, sources):
    """Where the sources of each recording go.

    Raises ValueError when two would go into one file, or one into a recording.

    Arguments
    ---------
    found : dict
        See ``find_recordings``.
    output_folder : str
        For all.
    sources : list of str
        Their names.

    Returns
    -------
    dict
        File -> list of Path.
    """
    plan, owners = {}, {}
    inputs = {os.path.realpath(path) for path in found}
    for path, stem in found.items():
        plan[path] = [
            Path(output_folder).expanduser()
            / stem.parent
            / f"{stem.name}_{s}.wav"
            for s in sources
        ]
        for output in plan[path]:
            real = os.path.realpath(output)
            if real in inputs:
                raise ValueError(
                    f"{output} is a recording to be separated; name another "
                    "--output_folder"
                )
            if owners.setdefault(real, path) != path:
                raise ValueError(
                    f"{owners[real]} and {path} would both become {output}; "
                    "separate them into folders of their own"
                )
    return plan
