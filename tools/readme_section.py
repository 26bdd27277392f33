"""Replaces generated text in a README, between two comments.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import platform
import sys
from importlib.metadata import version

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "recipes/PolSESS/separation"))


def where(packages=("torch", "speechbrain")):
    """Names the commit, the machine and the versions that figures come from.

    Arguments
    ---------
    packages : tuple of str
        Packages whose versions matter.

    Returns
    -------
    commit : str
        Marked where files differ from it.
    machine : str
        With its versions.
    """
    from runs.record import commit, device_name

    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return commit(), (
        f"{device_name('cpu')}, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def replace_section(name, text, readme=ROOT / "README.md"):
    """Writes a text into a README.

    Arguments
    ---------
    name : str
        Name in the comments: ``<!-- name: begin -->``.
    text : str
        Markdown.
    readme : Path
        The file; default: the README of the repository.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = readme.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
