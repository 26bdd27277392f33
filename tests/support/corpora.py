"""Tiny PolSESS-layout corpora of noise and tones with exact integer sums.

Every component is int16 and every mixture is the exact integer sum of its
components, so that whatever is cancelled has a known integer answer. Nothing
repeats: names, speakers, recordings and scenes differ from row to row, and the
audit of an untouched corpus has nothing to report.
"""

import csv
import string
import wave
from pathlib import Path

import numpy as np
import soundfile
from prepare_polsess import prepare_polsess

COLUMNS = (
    "subset,speech1OryginalPath,speech1Start,speech1End,speech2OryginalPath,"
    "speech2Start,speech2End,SSR,sceneOryginalPath,sceneStart,sceneEnd,"
    "sceneRandomDB,sceneOffsetDB,sceneVolumeGain,eventOryginalPath,eventStart,"
    "eventEnd,speaker1File,speaker2File,eventFile,sceneFile,reverbForSpeaker1,"
    "reverbForSpeaker2,reverbForEvent,mixFile,sceneClass,eventClass,"
    "preDelayForEvent,preDelay1,preDelay2,highCut,diffusion,decay,freqDamp"
).split(",")
# Column of the metadata -> folder of the file, the mixture last.
FOLDERS = {
    "speaker1File": "clean",
    "speaker2File": "clean",
    "sceneFile": "scene",
    "eventFile": "event",
    "reverbForSpeaker1": "sp1_reverb",
    "reverbForSpeaker2": "sp2_reverb",
    "reverbForEvent": "ev_reverb",
    "mixFile": "mix",
}
COUNTS = {"train": (2, 2), "val": (1, 1), "test": (1, 1)}


def make_corpus(root, counts=COUNTS, sample_rate=8000, seconds=1.0, seed=0):
    """Writes a corpus; returns subset -> its rows, dicts of the 34 columns.

    Counts are subset -> (number of indoor, of outdoor mixtures). Corpora of
    different seeds share no name, speaker or recording.
    """
    rng = np.random.default_rng(seed)
    rows = {}
    number = 100 * seed
    for subset, (n_indoor, n_outdoor) in counts.items():
        rows[subset] = []
        for index in range(n_indoor + n_outdoor):
            number += 1
            row = _metadata_row(rng, subset, number, index < n_indoor)
            frames = round(seconds * sample_rate)
            _write_audio(Path(root), row, frames, sample_rate, rng)
            rows[subset].append(row)
        write_metadata(metadata_path(root, subset), rows[subset])
    return rows


def metadata_path(root, subset):
    """The place of the metadata CSV of a subset."""
    root = Path(root)
    return root / subset / f"corpus_{root.name}_{subset}_final.csv"


def write_metadata(path, rows, columns=COLUMNS):
    """Writes rows (a list of dicts) as a metadata CSV."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, columns, extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)


def wav_path(root, row, column):
    """The WAV file that a column of a row names."""
    return Path(root) / row["subset"] / FOLDERS[column] / row[column]


def read_wav(path):
    """The int16 samples of a file."""
    return soundfile.read(path, dtype="int16")[0]


def write_wav(path, samples, sample_rate=8000):
    """Writes int16 samples; soundfile would wait for the disk each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.ndim, 2, sample_rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def read_csv(path):
    """The rows of a CSV as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_all(folder):
    """File name -> bytes of everything in a folder."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def _metadata_row(rng, subset, number, is_indoor):
    """One row in the manner of the published generator."""
    speaker1, speaker2, scene, event, reverb = (
        "".join(rng.choice(list(string.ascii_lowercase + string.digits), 16))
        for _ in range(5)
    )
    row = dict.fromkeys(COLUMNS, "")
    row.update(
        subset=subset,
        speech1OryginalPath=f"C:\\datasety\\clarin_emu\\SES{number:04d}_ses"
        f"\\sent{number:03d}_bndl\\sent{number:03d}.wav",
        speech2OryginalPath=f"C:\\datasety\\mls_polish\\{subset}\\audio"
        f"\\{number + 5000}\\77\\{number + 5000}_77_{number:06d}.flac",
        sceneOryginalPath=f"C:\\datasety\\TUT\\audio\\b{number:03d}_0_10.wav",
        eventOryginalPath=f"C:\\datasety\\ESC-50\\audio\\1-{number}-A-22.wav",
        SSR=str(rng.integers(-5, 6)),
        speaker1File=f"{speaker1}.wav",
        speaker2File=f"{speaker2}.wav",
        sceneFile=f"{scene}.wav",
        eventFile=f"{event}.wav",
        sceneClass="library" if is_indoor else "park",
        eventClass="keyboard_typing" if is_indoor else "chirping_birds",
        mixFile=f"{speaker1}-{speaker2}-{scene}-{event}.wav",
    )
    for column in COLUMNS:
        if column.endswith(("Start", "End")):
            row[column] = "1" if column.endswith("Start") else "32000"
    row.update(sceneRandomDB="4", sceneOffsetDB="-10", sceneVolumeGain="0.5")
    reverb_settings = COLUMNS[COLUMNS.index("preDelayForEvent") :]
    row.update(dict.fromkeys(reverb_settings, "0.5" if is_indoor else "NaN"))
    if is_indoor:
        row.update(
            mixFile=row["mixFile"].replace(".wav", f"-{reverb}.wav"),
            reverbForSpeaker1=f"sp1_{reverb}.wav",
            reverbForSpeaker2=f"sp2_{reverb}.wav",
            reverbForEvent=f"ev_{reverb}.wav",
        )
    return row


def _write_audio(root, row, frames, sample_rate, rng):
    """Writes a row's components and their sum."""
    mixture = np.zeros(frames, dtype=np.int16)
    time_seconds = np.arange(frames) / sample_rate
    for column in FOLDERS:
        if not row[column]:
            continue
        if column == "mixFile":
            samples = mixture
        else:
            # Peaks below 3000 each: seven of them never reach full scale.
            amplitude = 2000 if column.startswith("speaker") else 800
            tone_hz = rng.integers(100, 1000)
            samples = amplitude * np.sin(2 * np.pi * tone_hz * time_seconds)
            samples = samples + rng.uniform(-900, 900, frames)
            samples = np.round(samples).astype(np.int16)
            mixture = mixture + samples
        write_wav(wav_path(root, row, column), samples, sample_rate)


class MadeCorpus:
    """Lies in a folder, and beside it the folder ``save`` of its manifests."""

    def __init__(self, folder, counts=COUNTS, name="Tiny", **keywords):
        self.folder, self.root = folder, folder / name
        keywords = {"seconds": 0.1, **keywords}
        self.rows = make_corpus(self.root, counts, **keywords)

    def path(self, column, number=0, subset="train"):
        """The WAV file of a row."""
        return wav_path(self.root, self.rows[subset][number], column)

    def metadata(self, subset="train"):
        """The path of a CSV."""
        return metadata_path(self.root, subset)

    def write(self, subset="train", columns=COLUMNS):
        """Writes a CSV again, whose rows were changed."""
        write_metadata(self.metadata(subset), self.rows[subset], columns)

    def prepare(self, *splits, save="save", **options):
        """Prepares it; returns name -> bytes of all that is written."""
        splits = splits or ("train", "valid", "test")
        prepare_polsess(self.root, self.folder / save, splits, **options)
        return read_all(self.folder / save)

    def read(self, name):
        """The rows of a CSV that was written."""
        return read_csv(self.folder / "save" / f"{name}.csv")
