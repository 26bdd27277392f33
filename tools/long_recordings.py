"""Recordings of a minute or more, made of mixtures of the same two speakers.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import subprocess
import sys
from dataclasses import dataclass

import pandas as pd
import soundfile
import torch
from readme_section import ROOT

MAKE_CORPUS = ROOT / "recipes/PolSESS/simulate/make_corpus.py"


@dataclass(frozen=True)
class LongRecording:
    """Mixtures joined end to end.

    Arguments
    ---------
    name : str
        The two speakers.
    mixture : torch.Tensor
        [time]
    references : torch.Tensor
        The dry speech of each speaker, [time, source].
    piece : int
        Length of a mixture in samples.
    """

    name: str
    mixture: torch.Tensor
    references: torch.Tensor
    piece: int


def make_recordings(corpus, work_folder, n_pairs, n_pieces, seed):
    """Makes a corpus for each pair of test speakers, and joins its mixtures.

    Arguments
    ---------
    corpus : Path
        A simulated corpus, whose sources are used.
    work_folder : Path
        For the corpora; one that is there is completed.
    n_pairs : int
        Number of recordings, each of two speakers that no other has, as long as
        there are some, then of others.
    n_pieces : int
        Mixtures in each.
    seed : int
        Of the corpora.

    Returns
    -------
    list of LongRecording
        In the order of the speakers' names.
    """
    table = pd.read_csv(corpus / "sources/sources.csv", keep_default_na=False)
    is_speech = table["role"] == "speech"
    speakers = sorted(
        set(table["speaker"][is_speech & (table["subset"] == "test")])
    )
    half = len(speakers) // 2
    pairs = list(zip(speakers[:half], speakers[half:]))
    pairs += list(zip(speakers[::2], speakers[1::2]))
    recordings = []
    for pair in list(dict.fromkeys(pairs))[:n_pairs]:
        folder = work_folder / "-".join(pair)
        folder.mkdir(parents=True, exist_ok=True)
        rows = table[~is_speech | table["speaker"].isin(pair)].copy()
        # The other splits need speakers too.
        others = table[is_speech & (table["subset"] != "test")]
        rows = pd.concat([rows, others]).drop_duplicates()
        rows["filePath"] = [
            str(corpus.absolute() / "sources" / path)
            for path in rows["filePath"]
        ]
        rows.to_csv(folder / "sources.csv", index=False)
        options = f"--n_train 1 --n_val 1 --n_test {n_pieces} --seed {seed}"
        command = [sys.executable, MAKE_CORPUS, *options.split()]
        command += ["--sources", folder / "sources.csv"]
        command += ["--output_folder", folder / "PolSESS"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        recordings.append(join(folder / "PolSESS/test", pair))
    return recordings


def join(folder, pair):
    """Joins the mixtures of a split whose speakers are two.

    Arguments
    ---------
    folder : Path
        The split.
    pair : tuple of str
        The speakers.

    Returns
    -------
    LongRecording
        Its references in the order of the pair.
    """
    (path,) = folder.glob("corpus_*.csv")
    rows = pd.read_csv(path)
    mixtures, references = [], []
    for _, row in rows.iterrows():
        speech = {}
        for number in (1, 2):
            # speech/test/<speaker>/<file>
            original = row[f"speech{number}OryginalPath"].replace("\\", "/")
            speaker = pathlib.PurePosixPath(original).parent.name
            file = folder / "clean" / row[f"speaker{number}File"]
            speech[speaker] = _read(file)
        if set(speech) != set(pair):
            continue
        mixtures.append(_read(folder / "mix" / row["mixFile"]))
        references.append(torch.stack([speech[name] for name in pair], -1))
    return LongRecording(
        " and ".join(pair),
        torch.cat(mixtures),
        torch.cat(references),
        len(mixtures[0]),
    )


def _read(path):
    """A file, [time], float32."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])
