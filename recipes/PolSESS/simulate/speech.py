"""Polish speech of eSpeak NG: voices, sentences and the engine.

The voices (voices_pl.csv) are variants of eSpeak NG's Polish voice, each with
its own pitch and speed; the sentences (sentences_pl.txt) were written for this
recipe. Train, val and test share neither a voice nor a sentence. eSpeak NG
(GPL-3.0-or-later) comes in the Python package espeakng-loader and runs as a
program of its own. It seeds the noise of breathy voices (f2, f3, f5, Alicia,
sandro, victor) with the time, so voices_pl.csv has none of them.
"""

import csv
import importlib.metadata
import json
import pathlib
import subprocess
import sys

import numpy as np

try:
    import espeakng_loader
except ImportError:
    espeakng_loader = None

from simulate.acoustics import SUBSETS
from simulate.tables import SimulationError

HERE = pathlib.Path(__file__).resolve().parent
ENGINE = "espeakng-loader"

# Number of the 100 sentences that belong to each subset, in their order.
SENTENCE_SHARES = {"train": 70, "val": 15, "test": 15}


def read_voices():
    """Reads the table of voices.

    Returns
    -------
    voices : list of dict
        subset, speaker, variant (of eSpeak NG's Polish voice), pitch (0 to
        99; 50 is the variant's own) and speed (words per minute), all str.
    """
    with open(HERE / "voices_pl.csv", encoding="utf-8", newline="") as table:
        return [
            {**voice, "speaker": voice["variant"].lower()}
            for voice in csv.DictReader(table)
        ]


def read_sentences():
    """Reads the Polish sentences of each subset.

    Returns
    -------
    sentences : dict
        Subset -> list of str.
    """
    path = HERE / "sentences_pl.txt"
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    return {
        subset: [next(lines) for _ in range(SENTENCE_SHARES[subset])]
        for subset in SUBSETS
    }


def find_engine():
    """Checks that eSpeak NG is installed and has all voices.

    Raises SimulationError if not: eSpeak NG speaks with its default voice in
    place of a variant that it does not have.

    Returns
    -------
    version : str
        Name and version of the package.
    """
    if espeakng_loader is None:
        raise SimulationError(
            "The built-in Polish speech needs eSpeak NG: run `pip install "
            f"{ENGINE}`, or pass recordings with --sources TABLE.csv."
        )
    version = f"{ENGINE} {importlib.metadata.version(ENGINE)}"
    data = pathlib.Path(espeakng_loader.get_data_path())
    folder = data / "voices" / "!v"
    known = {path.name for path in folder.glob("*")}
    missing = sorted({voice["variant"] for voice in read_voices()} - known)
    if missing:
        raise SimulationError(
            f"{version} does not have the voice(s) {', '.join(missing)} in "
            f"{folder}; install the version in requirements.txt."
        )
    return version


def synthesise(voice, text):
    """Speaks a text.

    Raises SimulationError when the engine fails or stays silent.

    Arguments
    ---------
    voice : dict
        One of read_voices.
    text : str
        Polish text.

    Returns
    -------
    signal : numpy.ndarray
        Samples in [-1, 1), shape [time].
    sample_rate : int
        In Hz.
    """
    data = pathlib.Path(espeakng_loader.get_data_path())
    request = {
        "library": str(espeakng_loader.get_library_path()),
        "data": ".",
        "voice": f"pl+{voice['variant']}",
        "speed": int(voice["speed"]),
        "pitch": int(voice["pitch"]),
        "text": text,
    }
    # Isolated, without site-packages: starts faster. The library keeps the
    # path of its data in 160 characters, so it is relative.
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "espeak.py")],
        input=json.dumps(request).encode(),
        capture_output=True,
        cwd=data.parent,
    )
    samples = np.frombuffer(result.stdout[4:], dtype="<i2")
    if result.returncode or not samples.any():
        message = result.stderr.decode(errors="replace").strip()
        raise SimulationError(
            f"eSpeak NG, voice {request['voice']}: exit status "
            f"{result.returncode}, {len(samples)} samples. {message[-500:]}"
        )
    return samples / 32768, int.from_bytes(result.stdout[:4], "little")
