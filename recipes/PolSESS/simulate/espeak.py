"""Speak one text with the library of eSpeak NG: a program of its own.

simulate.speech starts it for each text, because the library keeps state from
one text to the next. It imports little, to start in 20 ms. Standard input is a
JSON object with the arguments of `speak`; standard output is the sample rate
(4 bytes, little-endian) and 16-bit mono samples.
"""

import ctypes
import json
import os
import sys

# Constants of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
DONT_EXIT = 0x8000
CHARACTERS_UTF8 = 1
PARAMETER_RATE = 1
PARAMETER_PITCH = 3


def speak(library, data, voice, speed, pitch, text):
    """Synthesises a text; returns the sample rate and 16-bit mono samples.

    `library` is the path of libespeak-ng, `data` the folder that holds
    espeak-ng-data, `voice` for instance "pl+f2"; see voices_pl.csv. Raises
    RuntimeError when the library does not start or does not know the language.
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
    size = ctypes.c_size_t(len(encoded) + 1)
    espeak.espeak_Synth(encoded, size, 0, 0, 0, CHARACTERS_UTF8, None, None)
    espeak.espeak_Synchronize()
    return sample_rate, b"".join(chunks)


if __name__ == "__main__":
    sample_rate, samples = speak(**json.load(sys.stdin))
    sys.stdout.buffer.write(sample_rate.to_bytes(4, "little") + samples)
