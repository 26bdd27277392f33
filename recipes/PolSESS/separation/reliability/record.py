"""What is needed to repeat a run, kept beside its results.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import io
import json
import os
import shlex
import socket
import time
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from reliability.facts import commit, device_name
from reliability.settings import resolved_yaml

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

RECORD = "record"
CODE = (".py", ".html")  # of the recipe
# Packages whose version may change the weights that a training ends with.
NUMERICAL = ("torch", "torchaudio", "speechbrain", "numpy", "soundfile")


def record_run(hparams, hparams_file, overrides, arguments, device):
    """Writes what a run is made from into ``<output_folder>/record``.

    SpeechBrain copies the calling script alone, and overwrites what an earlier
    start wrote; here each start adds a file of its own. The resolved YAML and
    the code of the recipe are beside it, once for each content. A training that
    is resumed with other code or packages gets a warning that names them.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation.
    hparams_file : str
        The YAML.
    overrides : str
        Those of the command line, as YAML.
    arguments : list of str
        The command line, the script first.
    device : str
        That the run uses.

    Returns
    -------
    Path
        The file that was written.
    """
    folder = Path(hparams["output_folder"]) / RECORD
    folder.mkdir(exist_ok=True)
    resolved = resolved_yaml(hparams_file, overrides).encode()
    earlier = sorted(folder.glob("start-*.json"))
    start = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "command": shlex.join(arguments),
        "folder": os.getcwd(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "host": socket.gethostname(),
        "device": device_name(device),
        "commit": commit(),
        "hyperparams": _keep(folder, "hyperparams", ".yaml", resolved),
        "code": _keep(folder, "code", ".zip", code_archive()),
        "packages": installed_versions(),
        "manifests": manifest_hashes(hparams["save_folder"]),
    }
    if earlier:
        _warn_of_changes(earlier[-1], start)
    path = folder / f"start-{len(earlier) + 1:04d}.json"
    _write(path, json.dumps(start, indent=1).encode())
    return path


def recorded_starts(output_folder):
    """What ``record_run`` wrote at each start of a run, the first one first.

    Arguments
    ---------
    output_folder : str or Path
        Of the run.

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


def installed_versions():
    """The versions of all packages.

    Returns
    -------
    dict
        Name -> version; where a package is found twice, that which is imported.
    """
    found = [(p.metadata["Name"], p.version) for p in distributions()]
    return dict(reversed(found))


def code_archive():
    """The code of the recipe, as a ZIP file.

    Returns
    -------
    bytes
        The same for the same code.
    """
    here = Path(__file__).resolve().parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted([*here.iterdir(), *here.glob("audit/*")]):
            if path.suffix in CODE and path.is_file():
                name = str(path.relative_to(here))
                archive.writestr(
                    zipfile.ZipInfo(name),  # without the time
                    path.read_bytes(),
                    compress_type=zipfile.ZIP_DEFLATED,
                )
    return buffer.getvalue()


def manifest_hashes(save_folder):
    """The sums of the manifests of a run.

    Arguments
    ---------
    save_folder : str
        Of the run.

    Returns
    -------
    dict
        Name of a file -> SHA-256, hexadecimal.
    """
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(save_folder).glob("*_*.csv"))
    }


def _keep(folder, name, suffix, content):
    """Writes a content once; returns the name of its file."""
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = folder / f"{name}-{digest}{suffix}"
    if not path.exists():
        _write(path, content)
    return path.name


def _write(path, content):
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


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
