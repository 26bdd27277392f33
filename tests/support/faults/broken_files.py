"""Changes of the files of a corpus during a run."""

import os
from pathlib import Path

import numpy as np
import soundfile


def rewrite(path, change=lambda samples: samples, **options):
    """Replaces a file by one with other samples, rate or coding."""
    samples, rate = soundfile.read(path)
    options = {"samplerate": rate, "subtype": "PCM_16", **options}
    # Another file under the old name, as copying programs make it.
    temporary = Path(f"{path}.new")
    soundfile.write(temporary, change(samples), format="WAV", **options)
    os.replace(temporary, path)


def spoil(path, value):
    def change(samples):
        return np.where(np.arange(len(samples)) % 100 == 50, value, samples)

    rewrite(path, change, subtype="FLOAT")


# Name -> what happens to the file at a path.
CHANGES = {
    "deleted": os.remove,
    "truncated": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "garbage": lambda path: Path(path).write_bytes(b"no audio" * 4004),
    "longer": lambda path: rewrite(path, lambda samples: [*samples, 0.0]),
    "rate": lambda path: rewrite(path, samplerate=16000),
    "stereo": lambda path: rewrite(path, lambda x: np.stack([x, x], axis=1)),
    "nan": lambda path: spoil(path, np.nan),
    "inf": lambda path: spoil(path, np.inf),
    "unchanged": rewrite,
}
