"""Records of the starts of a run, from which it can be repeated.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import io
import json
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import torch
from paths import replacing

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

RECORD = "record"
RECIPE = Path(__file__).resolve().parents[2]
# Code of the recipe. Deeper folders of separation/results hold runs.
CODE = ("*", "audit/*", "separation/*", "separation/*/*")
CODE_SUFFIXES = (".py", ".html", ".jinja")
# Files that a commit has to describe: results and README.md hold figures.
COMMITTED = (":(top)", ":(top,exclude)results", ":(top,exclude)README.md")
# Packages whose version may change the weights that a training ends with.
NUMERICAL = ("torch", "torchaudio", "speechbrain", "numpy", "soundfile")


def record_start(brain):
    """Writes ``start-NNNN.json``, once for each start of a run.

    SpeechBrain overwrites what an earlier start wrote. Here the resolved YAML
    is kept too, once for each content, and the code of the recipe where no
    commit describes it. A training that is resumed with other code or packages
    gets a warning that names them.

    Arguments
    ---------
    brain : speechbrain.Brain
        Its hparams have output_folder, which holds the hyperparams.yaml of
        ``speechbrain.create_experiment_directory``, and save_folder.

    Returns
    -------
    Path
        The file that was written.
    """
    output_folder = Path(brain.hparams.output_folder)
    folder = output_folder / RECORD
    folder.mkdir(exist_ok=True)
    earlier = sorted(folder.glob("start-*.json"))
    archive = _code_archive()
    described = commit()
    start = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "command": shlex.join(sys.argv),
        "folder": os.getcwd(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "device": device_name(brain.device),
        "precision": brain.precision,
        "eval_precision": brain.eval_precision,
        "commit": described,
        "hyperparams": _keep(
            folder, "hyperparams", ".yaml", resolved_yaml(output_folder)
        ),
        "code": _name_of("code", ".zip", archive),
        "packages": _versions(),
        "manifests": _manifests(Path(brain.hparams.save_folder)),
    }
    if described == "unknown" or described.endswith("-dirty"):
        _keep(folder, "code", ".zip", archive)
    if earlier:
        _warn_of_changes(earlier[-1], start)
    path = folder / f"start-{len(earlier) + 1:04d}.json"
    _write(path, json.dumps(start, indent=1).encode())
    return path


def recorded_starts(output_folder):
    """Reads what ``record_start`` wrote, the first start first.

    Arguments
    ---------
    output_folder : str or Path
        Output folder of a run.

    Returns
    -------
    list of dict
        Without records that are damaged; empty if nothing was recorded.
    """
    starts = []
    for path in sorted((Path(output_folder) / RECORD).glob("start-*.json")):
        try:
            start = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(start, dict):
            starts.append(start)
    return starts


def resolved_yaml(output_folder):
    """Reads hyperparams.yaml without the lines that name date and path.

    Arguments
    ---------
    output_folder : Path
        Output folder of a run.

    Returns
    -------
    bytes
        Equal for equal settings, to be loaded by load_hyperpyyaml.
    """
    lines = (output_folder / "hyperparams.yaml").read_bytes().splitlines(True)
    return b"".join(lines[3:] if lines[0].startswith(b"# Generated") else lines)


def commit(folder=RECIPE):
    """Describes the commit of the recipe.

    Arguments
    ---------
    folder : Path
        A folder in the repository.

    Returns
    -------
    str
        Its hash, with "-dirty" if files differ from it; results and README.md
        at the top do not count. "unknown" without git or a repository.
    """
    try:
        described = _git(folder, "describe", "--always", "--abbrev=12")
        changed = _git(folder, "diff", "--quiet", "HEAD", "--", *COMMITTED)
    except OSError:  # no git
        return "unknown"
    if described.returncode or changed.returncode not in (0, 1):
        return "unknown"
    return described.stdout.strip() + "-dirty" * changed.returncode


def _git(folder, *arguments):
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def device_name(device):
    """Names a processor.

    Arguments
    ---------
    device : str or torch.device
        For instance cpu or cuda:0.

    Returns
    -------
    str
        The device, and its name as far as the system tells it.
    """
    if str(device).startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name(device)}"
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    name = line.split(": ", 1)[1].strip()
                    break
    return f"{device}, {os.cpu_count()} cores of {name}"


def _versions():
    """Name -> version of all packages; of two versions, the imported one."""
    found = [(p.metadata["Name"], p.version) for p in distributions()]
    return dict(reversed(found))


def _manifests(folder):
    """Name -> SHA-256 of each manifest, hexadecimal."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*_*.csv"))
    }


def _code_archive():
    """A ZIP file of the code of the recipe, equal for equal code."""
    paths = {path for pattern in CODE for path in RECIPE.glob(pattern)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(paths):
            if path.suffix in CODE_SUFFIXES and path.is_file():
                archive.writestr(
                    zipfile.ZipInfo(str(path.relative_to(RECIPE))),  # no time
                    path.read_bytes(),
                    compress_type=zipfile.ZIP_DEFLATED,
                )
    return buffer.getvalue()


def _name_of(name, suffix, content):
    return f"{name}-{hashlib.sha256(content).hexdigest()[:12]}{suffix}"


def _keep(folder, name, suffix, content):
    """Writes a content once; returns the name of its file."""
    path = folder / _name_of(name, suffix, content)
    if not path.exists():
        _write(path, content)
    return path.name


def _write(path, content):
    with replacing(path) as [new]:
        new.write_bytes(content)


def _warn_of_changes(earlier, start):
    """Names code and packages that differ from those of the start before."""
    try:
        before = json.loads(earlier.read_text(encoding="utf-8"))
        pairs = [("code of the recipe", before["code"], start["code"])]
        packages = before["packages"], start["packages"]
        pairs += [
            (name, *(versions.get(name) for versions in packages))
            for name in NUMERICAL
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning(f"{earlier} is damaged ({error}), it is left alone")
        return
    for name, old, new in pairs:
        if old != new:
            logger.warning(
                f"{name}: {old} at the start before, {new} now; the result "
                "may differ from that of an undisturbed run"
            )
