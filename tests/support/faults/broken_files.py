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


def spoilt(samples, value):
    """Samples of which some in each part are not numbers."""
    return np.where(np.arange(len(samples)) % 100 == 50, value, samples)


# Name -> what happens to the file at a path.
CHANGES = {
    "deleted": lambda path: os.remove(path),
    "truncated": lambda path: os.truncate(path, os.path.getsize(path) // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "garbage": lambda path: Path(path).write_bytes(b"no audio" * 4004),
    "shorter": lambda path: rewrite(path, lambda samples: samples[:-1]),
    "longer": lambda path: rewrite(path, lambda samples: [*samples, 0.0]),
    "rate": lambda path: rewrite(path, samplerate=16000),
    "stereo": lambda path: rewrite(path, lambda x: np.stack([x, x], axis=1)),
    "nan": lambda path: rewrite(
        path, lambda samples: spoilt(samples, np.nan), subtype="FLOAT"
    ),
    "inf": lambda path: rewrite(
        path, lambda samples: spoilt(samples, np.inf), subtype="FLOAT"
    ),
    "unchanged": lambda path: rewrite(path),
}


def changed_at(path):
    """When a file was changed or deleted, in seconds."""
    path = Path(path)
    times = [
        found.stat().st_ctime for found in (path, path.parent) if found.exists()
    ]
    return max(times)
