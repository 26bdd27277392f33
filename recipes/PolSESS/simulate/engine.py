"""Calls eSpeak NG: the system's program, or the library of a Python package.

The engine is the `espeak-ng` program or, where there is none, the library of
the Python package espeakng-loader. Both are eSpeak NG, under the licence
GPL-3.0-or-later, and both run as a program of their own. eSpeak NG seeds the
noise of voices with breath (f2, f3, f5, Alicia, sandro, victor) with the time:
such voices never sound the same twice, and voices_pl.csv has none of them.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np

from simulate.errors import CorpusError

INSTALL_HINT = (
    "Install one of them: the program with `apt-get install espeak-ng` or "
    "`brew install espeak-ng`, or the library with `pip install "
    "espeakng-loader`."
)

Engine = collections.namedtuple("Engine", "command version")
Engine.__doc__ = """A way to call eSpeak NG.

`command` is the list of words in front of the options, `version` says which
engine made the recordings of a corpus.
"""

Voice = collections.namedtuple("Voice", "subset variant pitch speed")
Voice.__doc__ = """A speaker: a variant of espeak's Polish voice.

`pitch` is 0 to 99 (50 is the variant's own), `speed` in words per minute.
"""


def find_engine(voices):
    """Finds an eSpeak NG with all voices: the program, then the library.

    Raises CorpusError, naming both ways to install one, when neither works.

    Arguments
    ---------
    voices : list of Voice
        What the engine must be able to speak with; an old version may lack
        some of them.

    Returns
    -------
    engine : Engine
        Checked by letting every voice say a word.
    """
    failures = []
    for name, find in (
        ("program espeak-ng", _program_command),
        ("package espeakng-loader", _library_command),
    ):
        command = find()
        if command is None:
            failures.append(f"{name}: not installed")
            continue
        engine = Engine(command, _version(command))
        try:
            check_variants(engine, voices)
            return engine
        except CorpusError as error:
            failures.append(f"{name}: {error}")
    raise CorpusError(
        "No working eSpeak NG for the built-in Polish speech.\n  "
        + "\n  ".join(failures)
        + f"\n{INSTALL_HINT}"
    )


def _program_command():
    """Command of the system's espeak-ng, or None."""
    program = shutil.which("espeak-ng")
    return program and [program, "--stdin", "--stdout", "-b", "1"]


def _library_command():
    """Command that speaks through espeakng-loader's library, or None."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return None
    import espeakng_loader

    return [
        sys.executable,
        # Isolated, without site-packages: it starts in 20 ms.
        "-I",
        "-S",
        str(pathlib.Path(__file__).resolve().with_name("espeak_library.py")),
        str(espeakng_loader.get_library_path()),
        str(espeakng_loader.get_data_path()),
    ]


def _version(command):
    """Name and version of an engine."""
    if command[0] == sys.executable:
        from importlib.metadata import version

        return f"espeakng-loader {version('espeakng-loader')}"
    output = subprocess.run(
        [command[0], "--version"],
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    return "espeak-ng " + re.search(r"\d+(\.\d+)+\S*|$", output).group()


def synthesise(engine, voice, text):
    """Speaks a text.

    Raises CorpusError when the engine fails or stays silent.

    Arguments
    ---------
    engine : Engine
        As find_engine returns it.
    voice : Voice
        Who speaks.
    text : str
        Polish text.

    Returns
    -------
    signal : numpy.ndarray
        Samples in [-1, 1), shape [time].
    sample_rate : int
        In Hz.
    """
    options = ["-v", f"pl+{voice.variant}"]
    options += ["-s", str(voice.speed), "-p", str(voice.pitch)]
    result = subprocess.run(
        engine.command + options,
        input=text.encode("utf-8"),
        capture_output=True,
    )
    wav = result.stdout
    # Streamed WAV: the length in its header of 44 bytes is not reliable.
    samples = np.frombuffer(wav[44 : len(wav) - len(wav) % 2], dtype="<i2")
    if result.returncode or not wav.startswith(b"RIFF") or not samples.any():
        message = result.stderr.decode(errors="replace").strip()
        raise CorpusError(
            f"voice pl+{voice.variant}: exit status {result.returncode}, "
            f"{len(samples)} samples. {message[-500:]}"
        )
    return samples / 32768, int.from_bytes(wav[24:28], "little")


def check_variants(engine, voices):
    """Checks that no variant falls back to the sound of another.

    espeak speaks with its default voice when it does not know a variant.
    Raises CorpusError naming the variants that sound alike.

    Arguments
    ---------
    engine : Engine
        As find_engine returns it.
    voices : list of Voice
        Their variants are compared at one pitch and speed.
    """
    heard = {}
    for variant in ["no_such_variant", *(voice.variant for voice in voices)]:
        probe = Voice("train", variant, 50, 160)
        signal, _ = synthesise(engine, probe, "Raz, dwa.")
        heard.setdefault(signal.tobytes(), []).append(variant)
    alike = [variants for variants in heard.values() if len(variants) > 1]
    if alike:
        raise CorpusError(
            f"{engine.version} says the same with several variants "
            f"(no_such_variant is the default voice): {alike}"
        )
