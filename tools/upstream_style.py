"""SpeechBrain's checks of style, with its configuration and its versions.

Authors
 * The PolSESS recipe team 2026
"""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PINNED = {
    "ruff": r"rev: v([\d.]+)",
    "yamllint": r"rev: v([\d.]+)",
    "codespell": r"rev: v([\d.]+)",
}
CODESPELL = (
    "codespell",
    "--ignore-words=.dict-speechbrain.txt",
    "--skip=*.ipynb",
)


def pins(copy):
    """Versions that the hooks of a checkout are pinned to.

    Arguments
    ---------
    copy : Path
        Of SpeechBrain.

    Returns
    -------
    dict
        Tool -> version.
    """
    text = (copy / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    found = re.findall(r"repo: \S+/([\w-]+?)(?:-pre-commit)?\n(.*)", text)
    versions = {tool: re.search(r"v([\d.]+)", rest) for tool, rest in found}
    return {tool: versions[tool][1] for tool in PINNED if versions.get(tool)}


def version_problems(copy):
    """Tools that are installed in another version than SpeechBrain pins."""
    return [
        f"{tool} {version(tool)} is installed, SpeechBrain pins {pinned}: "
        f"pip install {tool}=={pinned}"
        for tool, pinned in pins(copy).items()
        if version(tool) != pinned
    ]


def style_checks(copy, files):
    """Commands that check the style of files.

    Arguments
    ---------
    copy : Path
        Of SpeechBrain, with the recipe.
    files : list of str
        Paths in it.

    Returns
    -------
    list of tuple
        Name of a check, function that returns what is wrong.
    """
    files = [name for name in files if not (copy / name).is_symlink()]
    python = [name for name in files if name.endswith(".py")]
    yamls = [name for name in files if name.endswith(".yaml")]
    texts = [n for n in files if b"\0" not in (copy / n).read_bytes()]
    concise = "--output-format=concise"
    commands = {
        "ruff check": (["ruff", "check", "--no-cache", concise], python),
        "ruff format": (["ruff", "format", "--no-cache", "--check"], python),
        "yamllint": (["yamllint", "--no-warnings", "-f", "parsable"], yamls),
        "codespell": (CODESPELL, texts),
    }
    return [
        ("versions of the linters", lambda: version_problems(copy)),
        *(
            (name, lambda command=command: _complaints(copy, *command))
            for name, command in commands.items()
        ),
    ]


def _complaints(copy, command, files):
    """Lines of a command that fails, found beside this Python."""
    if not files:
        return []
    tool = Path(sys.executable).with_name(command[0])
    command = [tool, *command[1:], *files]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return (lines or ["it failed"]) if done.returncode else []
