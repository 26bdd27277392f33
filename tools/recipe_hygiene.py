"""What pre-commit hooks of SpeechBrain look for, in files of any kind.

Authors
 * The PolSESS recipe team 2026
"""

import os
from pathlib import Path

LARGEST = 1024 * 1024  # bytes
# SpeechBrain's .gitignore swallows what lies in these, or ends so.
SWALLOWED = {"results", "build", "lib", "lib64", "env", "venv", "log", "dist"}


def hygiene_problems(root, files):
    """Blanks, line ends, sizes and links that a hook would refuse.

    Arguments
    ---------
    root : str or Path
        The repository.
    files : list of str
        Paths in it.

    Returns
    -------
    list of str
        A line for each problem.
    """
    return [
        f"{name}: {problem}"
        for name in files
        for problem in _problems_of(Path(root), name)
    ]


def _problems_of(root, name):
    """What is wrong with one file."""
    path = root / name
    if path.is_symlink():
        if os.path.isabs(os.readlink(path)):
            yield "is an absolute link"
        if not path.exists():
            yield "is a link to nothing"
        return
    if not path.is_file():
        yield "does not exist"
        return
    if SWALLOWED & set(Path(name).parts[:-1]) or name.endswith(".log"):
        yield "has a name that .gitignore leaves out"
    if path.stat().st_size > LARGEST:
        yield f"has {path.stat().st_size // 1024} KB, 1024 are allowed"
    content = path.read_bytes()
    if b"\0" not in content:
        yield from _text_problems(name, content)


def _text_problems(name, content):
    """What is wrong with the bytes of a text."""
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if line.rstrip(b"\r\n") != line.rstrip():
            yield f"line {number} ends with blanks"
    if content and not content.endswith(b"\n"):
        yield "does not end with a new line"
    if content.endswith(b"\n\n"):
        yield "ends with empty lines"
    if b"\r" in content and content.count(b"\r\n") < content.count(b"\n"):
        yield "has line ends of several kinds"
    if Path(name).name.endswith("requirements.txt"):
        entries = [e.lower() for e in lines if not e.startswith((b"#", b"-"))]
        if entries != sorted(entries):
            yield "is not sorted"
