"""Finds a Libri2Mix corpus and reads the metadata of its test set.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import os
import re
from pathlib import Path

import pandas as pd
from prepare_polsess import CorpusError

from audit.metadata import FILES

# Variant -> kind of mixture, a folder of its own.
KINDS = {"S": "mix_both", "C": "mix_clean"}
GENERATE = "generate it with the scripts of LibriMix"
COLUMNS = (
    "mixture_ID",
    "mixture_path",
    "source_1_path",
    "source_2_path",
    "length",
)
IDS = re.compile(r"(\w+)-\w+-\w+_(\w+)-\w+-\w+")


def find_corpus(data_folder, sample_rate):
    """Finds the folder of one sample rate, in the mode min.

    Arguments
    ---------
    data_folder : str or Path
        Libri2Mix, or the folder that holds it.
    sample_rate : int
        In Hz.

    Returns
    -------
    base : Path
        The data_folder, which ``$data_root`` stands for.
    corpus : Path
        ``<Libri2Mix>/wav8k/min``, or that of another sample rate.

    Raises
    ------
    CorpusError
        If there is none.
    """
    if not isinstance(data_folder, (str, os.PathLike)) or not data_folder:
        raise CorpusError(
            f"data_folder: expected the folder of Libri2Mix, found "
            f"{data_folder!r}; give --data_folder=/path/to/Libri2Mix"
        )
    base = Path(os.path.abspath(os.path.expanduser(data_folder)))
    below = f"wav{sample_rate // 1000}k/min"
    for corpus in (base / below, base / "Libri2Mix" / below):
        if corpus.is_dir():
            return base, corpus
    raise CorpusError(
        f"data_folder: {base}: expected {below} or Libri2Mix/{below} in it, "
        f"found neither; give the folder of Libri2Mix, or {GENERATE} "
        f"(--freqs {sample_rate // 1000}k --modes min)"
    )


def find_kinds(corpus):
    """Finds which kinds of test mixtures were generated.

    Arguments
    ---------
    corpus : Path
        From ``find_corpus``.

    Returns
    -------
    metadata : dict
        Variant -> the CSV that lists its mixtures, in the order of KINDS.

    Raises
    ------
    CorpusError
        If there is no kind, or the CSV of one is missing.
    """
    metadata = {}
    for variant, kind in KINDS.items():
        path = corpus / "metadata" / f"mixture_test_{kind}.csv"
        folder = corpus / "test" / kind
        if path.is_file():
            metadata[variant] = path
        elif folder.is_dir():
            raise CorpusError(
                f"{path}: expected the list of the mixtures in {folder}, found "
                "none; copy the folder metadata too: the scripts of LibriMix "
                "write it when all mixtures of the test set are made"
            )
    if not metadata:
        raise CorpusError(
            f"{corpus}: expected test/mix_clean or test/mix_both with "
            f"metadata/mixture_test_mix_*.csv, found neither; {GENERATE} "
            "(--types mix_clean mix_both)"
        )
    return metadata


def read_rows(base, corpus, metadata):
    """Reads the lists of mixtures into one table.

    Arguments
    ---------
    base, corpus : Path
        From ``find_corpus``.
    metadata : dict
        From ``find_kinds``.

    Returns
    -------
    rows : pandas.DataFrame
        One row per mixture and variant: split, setting, ID, variant, length,
        metadata (its CSV), row (the line there), the files below ``base``
        under the columns of the manifest, and the two speakers.

    Raises
    ------
    CorpusError
        If a list is not one of Libri2Mix, or empty.
    """
    test = (corpus / "test").relative_to(base).as_posix()
    records = []
    for variant, path in metadata.items():
        place = {
            "split": "test",
            "setting": "dry",
            "variant": variant,
            "metadata": path.relative_to(base).as_posix(),
        }
        before = len(records)
        for line, cells in _read_csv(path):
            described = _describe(cells["mixture_ID"], variant, test)
            row = {"row": str(line), "length": cells["length"]}
            records.append({**place, **row, **described})
        if len(records) == before:
            raise CorpusError(
                f"{path}: expected a row per mixture, found only a header; "
                f"{GENERATE} again"
            )
    return pd.DataFrame(records)


def _read_csv(path):
    """Yields line number and cells by column of the list of a kind."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            header = reader.fieldnames or []
            missing = [column for column in COLUMNS if column not in header]
            if missing or "source_3_path" in header:
                problem = f"no column {', '.join(missing)}"
                if not missing:
                    problem = "three sources, as in Libri3Mix"
                raise CorpusError(
                    f"{path}: expected the columns {', '.join(COLUMNS)}, found "
                    f"{problem}; give the folder of Libri2Mix"
                )
            for cells in reader:
                yield reader.line_num, {c: cells[c].strip() for c in COLUMNS}
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise CorpusError(
            f"{path}: expected a CSV file, found {error}; copy it again"
        ) from error


def _describe(mixture_id, variant, test):
    """ID, speakers and files of a mixture; those that it lacks are empty."""
    speakers = IDS.fullmatch(mixture_id)
    # The paths in the CSV are those of the machine that made the corpus.
    file = f"{mixture_id}.wav"
    return {
        "ID": mixture_id,
        "speaker1": speakers[1] if speakers else "",
        "speaker2": speakers[2] if speakers else "",
        **dict.fromkeys(FILES, ""),
        "mix_wav": f"{test}/{KINDS[variant]}/{file}",
        "s1_wav": f"{test}/s1/{file}",
        "s2_wav": f"{test}/s2/{file}",
        "scene_wav": f"{test}/noise/{file}" if variant == "S" else "",
    }
