"""Speaks one text with the eSpeak NG shared library: an `espeak-ng` command.

For machines without the espeak-ng program. It takes the same options, reads
the text from standard input and writes a WAV file to standard output. Each
text gets a process of its own: the library keeps state from one text to the
next, which would make a recording depend on those spoken before it.

> python espeak_library.py LIBRARY DATA -v pl+f2 -s 160 -p 50 < text

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import ctypes
import io
import os
import sys
import tempfile
import wave

# Constants of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
DONT_EXIT = 0x8000
CHARACTERS_UTF8 = 1
PARAMETER_RATE = 1
PARAMETER_PITCH = 3
# The library holds the path of its data in 160 characters, of which it needs
# some for file names; a longer path is reached through a link.
LONGEST_DATA_PATH = 120


def speak(library, data, voice, speed, pitch, text):
    """Synthesises a text.

    Raises RuntimeError when the library does not start or knows no such
    language.

    Arguments
    ---------
    library : str
        Path of libespeak-ng.
    data : str
        Path of the folder espeak-ng-data.
    voice : str
        Language and variant, for instance "pl+f2".
    speed : int
        Words per minute.
    pitch : int
        0 to 99, 50 is the variant's own.
    text : str
        What to say.

    Returns
    -------
    samples : bytes
        16-bit mono samples.
    sample_rate : int
        In Hz.
    """
    espeak = ctypes.CDLL(library)
    sample_rate = espeak.espeak_Initialize(
        AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data), DONT_EXIT
    )
    if sample_rate <= 0:
        raise RuntimeError(f"eSpeak NG does not start with its data in {data}")
    chunks = []

    @ctypes.CFUNCTYPE(
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_short),
        ctypes.c_int,
        ctypes.c_void_p,
    )
    def collect(samples, n_samples, events):
        """Called by the library with each piece of sound."""
        if samples and n_samples > 0:
            chunks.append(ctypes.string_at(samples, 2 * n_samples))
        return 0

    espeak.espeak_SetSynthCallback(collect)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"eSpeak NG has no voice {voice}")
    espeak.espeak_SetParameter(PARAMETER_RATE, speed, 0)
    espeak.espeak_SetParameter(PARAMETER_PITCH, pitch, 0)
    encoded = text.encode("utf-8")
    espeak.espeak_Synth(
        encoded,
        ctypes.c_size_t(len(encoded) + 1),
        0,
        0,
        0,
        CHARACTERS_UTF8,
        None,
        None,
    )
    espeak.espeak_Synchronize()
    return b"".join(chunks), sample_rate


def main():
    """Reads the command line and the text, writes the WAV file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library")
    parser.add_argument("data")
    parser.add_argument("-v", dest="voice", default="pl")
    parser.add_argument("-s", dest="speed", type=int, default=175)
    parser.add_argument("-p", dest="pitch", type=int, default=50)
    options = parser.parse_args()
    text = sys.stdin.buffer.read().decode("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if len(os.fsencode(data)) > LONGEST_DATA_PATH:
            data = os.path.join(folder, "espeak-ng-data")
            os.symlink(options.data, data)
        samples, sample_rate = speak(
            options.library,
            data,
            options.voice,
            options.speed,
            options.pitch,
            text,
        )
    wav = io.BytesIO()
    with wave.open(wav, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(samples)
    sys.stdout.buffer.write(wav.getvalue())


if __name__ == "__main__":
    main()
