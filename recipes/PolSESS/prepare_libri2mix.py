# local: file
"""Prepares the test set of Libri2Mix, to test models on another corpus.

Libri2Mix (Cosentino, Pariente, Cornell, Deleforge, Vincent, 2020) mixes two
speakers of LibriSpeech, with or without noise of WHAM. Its scripts write:

    <Libri2Mix>/wav8k/min/test/{mix_clean,mix_both,s1,s2,noise}/<mixture_ID>.wav
    <Libri2Mix>/wav8k/min/metadata/mixture_test_mix_clean.csv
    <Libri2Mix>/wav8k/min/metadata/mixture_test_mix_both.csv

In the words of PolSESS each mixture has two variants, without reverberation:

    C = mix_clean = s1 + s2            S = mix_both = s1 + s2 + noise (the scene)

Both are read as they are stored. The paths in the CSVs are those of the machine
that made the corpus: files are found by mixture_ID. The scripts can leave
mix_clean or mix_both out, and the noise with it.

train.py calls it, for hparams/test_libri2mix.yaml.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
from pathlib import Path

import pandas as pd
from paths import replacing
from prepare_polsess import (
    FILES,
    MANIFEST_COLUMNS,
    VARIANT_SETTINGS,
    CorpusError,
)

from speechbrain.dataio import audio_io
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

KINDS = {"S": "mix_both", "C": "mix_clean"}  # variant -> folder
COLUMNS = ["mixture_ID", "source_1_path", "source_2_path", "length"]
IDS = re.compile(r"(\w+)-\w+-\w+_(\w+)-\w+-\w+")  # of speakers 1 and 2


def prepare_libri2mix(
    data_folder,
    save_folder,
    splits=("test",),
    sample_rate=8000,
    skip_prep=False,
):
    """Checks the test set and writes <save_folder>/test_<VARIANT>.csv.

    The manifests of C and S hold the mixtures, sorted by ID, those of other
    variants none; test_metadata.csv holds the lengths. The paths start with
    ``$data_root``, the data_folder. Where only mix_clean or only mix_both was
    generated, a log line says so. The corpus is only read.

    Arguments
    ---------
    data_folder : str or Path
        Libri2Mix, or the folder that holds it.
    save_folder : str or Path
        Where the manifests are written.
    splits : sequence of str
        Only test: nothing is trained on Libri2Mix here.
    sample_rate : int
        In Hz; 8000 for ``wav8k``.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    CorpusError
        With the rows and files that are wrong.
    """
    if list(splits) != ["test"]:
        raise ValueError(
            f"splits={list(splits)}: Libri2Mix is prepared for tests alone, "
            "expected [test]; leave test_only: True in the YAML"
        )
    if skip_prep:
        logger.info("Preparation skipped: the manifests are used as they are")
        return
    base, corpus = _find_corpus(data_folder, sample_rate)
    rows, problems = [], []
    for variant, kind in KINDS.items():
        lines = _read_lines(corpus, kind)
        if not lines:
            logger.info(f"{corpus} has no {kind}: {variant} is not tested")
        for line, cells in lines:
            row = _make_row(cells, variant, corpus.relative_to(base))
            rows.append(row)
            problems += [
                f"mixture_test_{kind}.csv row {line}: {problem}"
                for problem in _check_row(row, base, sample_rate)
            ]
    if problems or not rows:
        shown = "\n".join(problems[:5]) or "no test/mix_clean and no mix_both"
        raise CorpusError(
            f"{corpus}: {len(problems)} errors, such as\n{shown}\nWhat to do: "
            "copy these files again, or generate them with LibriMix's scripts"
        )
    _write_manifests(Path(save_folder), pd.DataFrame(rows))


def _find_corpus(data_folder, sample_rate):
    """The data_folder, and the folder of one sample rate, in the mode min."""
    base = Path(os.path.abspath(os.path.expanduser(data_folder or "")))
    below = f"wav{sample_rate // 1000}k/min"
    for corpus in (base / below, base / "Libri2Mix" / below):
        if data_folder and corpus.is_dir():
            return base, corpus
    raise CorpusError(
        f"data_folder={data_folder}: expected {below} or Libri2Mix/{below} in "
        f"it, found neither; give the folder of Libri2Mix"
    )


def _read_lines(corpus, kind):
    """Line number and cells of each mixture of a kind; none without it."""
    path = corpus / "metadata" / f"mixture_test_{kind}.csv"
    folder = corpus / "test" / kind
    if not path.is_file() and not folder.is_dir():
        return []
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = [column for column in COLUMNS if column not in table]
        found = f"no column {', '.join(missing)}" if missing else ""
        if "source_3_path" in table or table.empty:
            found = "no rows" if table.empty else "three sources (Libri3Mix)"
    except (OSError, ValueError) as error:
        found = str(error)
    if found:
        raise CorpusError(
            f"{path}: expected {', '.join(COLUMNS)} of each mixture in {folder}"
            f", found {found}; copy the folder metadata of Libri2Mix again"
        )
    table = table.drop_duplicates("mixture_ID")
    return list(zip(table.index + 2, table.to_dict("records")))


def _make_row(cells, variant, corpus):
    """The row of the manifest of a mixture; what it lacks is empty."""
    name = cells["mixture_ID"]
    speakers = IDS.fullmatch(name) or ["", "", ""]
    folders = {"mix_wav": KINDS[variant], "s1_wav": "s1", "s2_wav": "s2"}
    if variant == "S":
        folders["scene_wav"] = "noise"
    test = f"$data_root/{corpus.as_posix()}/test"
    return {
        **dict.fromkeys(MANIFEST_COLUMNS, ""),
        **{c: f"{test}/{folder}/{name}.wav" for c, folder in folders.items()},
        **{"ID": name, "variant": variant, "setting": "dry"},
        **{"speaker1": speakers[1], "speaker2": speakers[2]},
        "length": cells["length"],
    }


def _check_row(row, base, sample_rate):
    """Yields what is wrong with a row and its files; adds the duration."""
    name, length = row["ID"], row["length"]
    if not re.fullmatch(r"[^/\\$]+", name):
        yield f"expected a plain file name as mixture_ID, found {name}"
        return
    if not re.fullmatch(r"0*[1-9]\d*(\.0*)?", length):
        yield f"expected a number of samples as length, found {length}"
        return
    row["duration"] = float(length) / sample_rate
    row["sample_rate"] = sample_rate
    expected = f"{float(length):.0f} samples at {sample_rate} Hz, 1 channel"
    for column in filter(row.get, FILES):
        path = row[column][len("$data_root/") :]
        try:
            info = audio_io.info(base / path)
            found = f"{info.frames} samples at {info.sample_rate} Hz, "
            found += f"{info.channels} channel"
        except RuntimeError as error:
            found = error if (base / path).is_file() else "none"
        if found != expected:
            yield f"{path}: expected {expected}, found {found}"


def _write_manifests(save_folder, rows):
    """Writes the manifests of all variants, and test_metadata.csv."""
    rows = rows.sort_values(["ID", "variant"], kind="stable")
    tables = {"test_metadata.csv": rows.drop_duplicates("ID")[["ID", "length"]]}
    for variant in VARIANT_SETTINGS:
        chosen = rows[rows["variant"] == variant]
        tables[f"test_{variant}.csv"] = chosen[list(MANIFEST_COLUMNS)]
    save_folder.mkdir(parents=True, exist_ok=True)
    with replacing(*(save_folder / name for name in tables)) as new:
        for path, table in zip(new, tables.values()):
            table.to_csv(path, index=False, lineterminator="\n")
