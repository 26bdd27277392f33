"""A small official table with the defects of the real one, and its corpora.

Copies of the corpora have layouts of their own: EMU as Kaldi reads it, MLS in
Opus, TUT with one folder for each part, FSD50K without the doubled folders.
"""

import csv
import pathlib

import numpy as np
import soundfile
from official.table import COLUMNS
from simulate.make_corpus import make_corpus, parse_arguments

RATE, SECONDS = 16000, 1.5
SUBSETS = ("train", "val", "test")
# Six people with two sessions each, all of whom are in all subsets.
SPEAKERS = {f"SES{n:04}": f"SPK{(n + 1) // 2:04}" for n in range(1, 13)}
TUT = "TUT-acoustic-scenes-2017"


def table_rows():
    """Rows of the table: (subset, path, role, source, class)."""
    rows = []
    for number, session in enumerate(SPEAKERS):
        for turn in range(3):
            path = rf"\{session}_ses\sent{turn}_bndl\sent{turn}.wav"
            subset = SUBSETS[turn if number % 2 else 0]
            rows.append((subset, path, "speech", "emu", ""))
    for subset, folder in zip(SUBSETS, ("train", "dev", "test")):
        for speaker in (11, 12):
            person = f"{SUBSETS.index(subset)}{speaker}"
            path = rf"\{folder}\audio\{person}\7\{person}_7_000001.flac"
            rows.append((subset, path, "speech", "libriSpeech", ""))
    development, evaluation = (
        rf"\{TUT}-{part}\audio" for part in ("development", "evaluation")
    )
    for subset, path, scene in (
        ("train", rf"{development}\b031_0_10.wav", "home"),
        ("train", rf"{development}\b031_0_10.wav", "home"),
        ("train", rf"{development}\b031_10_20.wav", "home"),
        ("val", rf"{development}\a025_0_10.wav", "beach"),
        ("test", rf"{evaluation}\1.wav", "beach"),
    ):
        rows.append((subset, path, "envScene", "tut", scene))
    for number in range(10):
        scene = ("airport", "park")[number % 2]
        for turn in range(2):
            path = rf"\audio\{scene}-lyon-{number}-{10 * number + turn}-a.wav"
            for subset in SUBSETS[:1] if number < 2 else SUBSETS[1:]:
                rows.append((subset, path, "envScene", "tau", scene))
    for subset, folder in zip(SUBSETS, ("tr", "cv", "tt")):
        path = rf"\{folder}\{folder}c0102_0.5_050c_-0.5.wav"
        rows.append((subset, path, "envScene", "wham", "h"))
    for subset, name, label in (
        ("train", "2-100-A-0", "dog"),  # also uploaded as 100 of FSD50K
        ("train", "2-101-A-10", "rain"),
        ("val", "1-102-A-10", "rain"),
        ("test", "1-103-A-24", "coughing"),  # no class of the match table
    ):
        rows.append((subset, rf"\{name}.wav", "events", "esc50", label))
    for subset, name, labels in (
        ("train", "200", "Accordion,Musical_instrument,Music"),
        ("train", "201", "Crowd,Human_group_actions"),  # "Crow" is a part
        ("val", "300", "Accordion,Musical_instrument,Music"),
        ("test", "100", "Animal,Dog"),
        ("test", "400", "Accordion,Musical_instrument,Music"),
        ("test", "401", "Walk_and_footsteps,Speech,Human_voice"),
        ("test", "402", "Cough,Respiratory_sounds"),
    ):
        folder = f"FSD50K.{'eval' if subset == 'test' else 'dev'}_audio"
        path = rf"\{folder}\{folder}\{name}.wav"
        rows.append((subset, path, "events", "fsd50", labels))
    return [dict(zip(COLUMNS, (*row, str(SECONDS)))) for row in rows]


def write_official(folder):
    """Writes table, list of speakers and corpora below a folder."""
    folder.mkdir()
    rows = table_rows()
    with open(folder / "official.csv", "w", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    pairs = [f"{session} {person}\n" for session, person in SPEAKERS.items()]
    (folder / "utt2spk").write_text("".join(pairs))
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    for row in rows:
        path = folder / row["source"] / copy_of(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Noise in syllables, never silent for long.
        signal = 0.2 + np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * time))
        signal *= 0.1 * rng.standard_normal(len(time))
        style = {".opus": ("OGG", "OPUS")}.get(path.suffix, ("WAV", "PCM_16"))
        soundfile.write(path, signal, RATE, style[1], format=style[0])


def copy_of(row):
    """Where the user's copy of a recording is, below its corpus."""
    parts = row["filePath"].replace("\\", "/").strip("/").split("/")
    if row["source"] == "emu":
        return pathlib.Path("audio", parts[0][:7], f"{parts[-1][:-4]}.WAV")
    if row["source"] == "libriSpeech":
        return pathlib.Path(*parts).with_suffix(".opus")
    if row["source"] == "fsd50":
        return pathlib.Path(*parts[1:])
    return pathlib.Path(*parts)


def words(made, output, without=(), **options):
    """Options of the command; `made` holds what write_official wrote."""
    names = {"libriSpeech": "mls", "fsd50": "fsd50k"}
    roots = sorted(path for path in made.iterdir() if path.is_dir())
    pairs = [(names.get(root.name, root.name), root) for root in roots]
    found = [f"--root={k}={v}" for k, v in pairs if k not in without]
    options = {
        **{"official": made / "official.csv", "output_folder": output},
        **{"n_train": 4, "n_val": 2, "n_test": 2, "seed": 3},
        **{"segment_seconds": 1.0, "n_jobs": 1, **options},
    }
    return found + [f"--{k}={v}" for k, v in options.items()]


def make(made, output, **options):
    """Makes a corpus as the command does."""
    make_corpus(parse_arguments(words(made, output, **options)))
