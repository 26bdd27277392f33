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
GENERATE = (
    "give the folder of Libri2Mix, or generate it with LibriMix's scripts"
)


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
    tables = {v: _read_table(corpus, variant=v) for v in KINDS}
    if all(table is None for table in tables.values()):
        raise CorpusError(
            f"{corpus}: expected test/mix_clean or test/mix_both, and "
            f"metadata/mixture_test_mix_*.csv, found neither; {GENERATE}"
        )
    rows, problems = [], []
    for variant, table in tables.items():
        if table is None:
            logger.info(
                f"{corpus} has no {KINDS[variant]}: {variant} is not tested"
            )
            continue
        for line, cells in zip(table.index + 2, table.to_dict("records")):
            row = _make_row(cells, variant, corpus.relative_to(base))
            rows.append(row)
            problems += [
                f"mixture_test_{KINDS[variant]}.csv row {line}: {problem}"
                for problem in _check_row(
                    row, cells["length"], base, sample_rate
                )
            ]
    if problems:
        shown = "\n".join(problems[:5])
        raise CorpusError(
            f"{corpus}: {len(problems)} errors, such as\n{shown}\nWhat to do: "
            "copy these files again, or generate the corpus again"
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
        f"it, found neither; {GENERATE}"
    )


def _read_table(corpus, variant):
    """The list of the mixtures of a kind, all str; None without that kind."""
    path = corpus / "metadata" / f"mixture_test_{KINDS[variant]}.csv"
    folder = corpus / "test" / KINDS[variant]
    if not path.is_file() and not folder.is_dir():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path}: expected the list of the mixtures in {folder}, found "
            f"{error}; copy the folder metadata again"
        ) from error
    missing = [column for column in COLUMNS if column not in table]
    if missing or "source_3_path" in table or table.empty:
        found = f"no column {', '.join(missing)}" if missing else "no rows"
        if "source_3_path" in table:
            found = "three sources, as in Libri3Mix"
        raise CorpusError(
            f"{path}: expected {', '.join(COLUMNS)} of each mixture, found "
            f"{found}; {GENERATE}"
        )
    return table.drop_duplicates("mixture_ID")


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


def _check_row(row, length, base, sample_rate):
    """Yields what is wrong with a row and its files; adds the duration."""
    name = row["ID"]
    if not re.fullmatch(r"[^/\\$]+", name):
        yield f"expected a plain file name as mixture_ID, found {name}"
        return
    if not re.fullmatch(r"0*[1-9]\d*(\.0*)?", length):
        yield f"expected a number of samples as length, found {length}"
        return
    expected = f"{float(length):.0f} samples at {sample_rate} Hz, 1 channel"
    row["duration"] = float(length) / sample_rate
    row["sample_rate"] = sample_rate
    for column in filter(row.get, FILES):
        path = row[column][len("$data_root/") :]
        try:
            info = audio_io.info(base / path)
        except RuntimeError as error:
            found = error if (base / path).is_file() else "none"
            yield f"{path}: expected a WAV file, found {found}"
            continue
        found = f"{info.frames} samples at {info.sample_rate} Hz, "
        found += f"{info.channels} channel"
        if found != expected:
            yield f"{path}: expected {expected}, found {found}"


def _write_manifests(save_folder, rows):
    """Writes each file under another name, then puts it in place."""
    save_folder.mkdir(parents=True, exist_ok=True)
    rows = rows.sort_values(["ID", "variant"], kind="stable")
    tables = {"test_metadata.csv": rows.drop_duplicates("ID")[["ID", "length"]]}
    for variant in VARIANT_SETTINGS:
        chosen = rows[rows["variant"] == variant]
        tables[f"test_{variant}.csv"] = chosen[list(MANIFEST_COLUMNS)]
    for name, table in tables.items():
        new = save_folder / f".{name}.{os.getpid()}"
        table.to_csv(new, index=False, lineterminator="\n")
        os.replace(new, save_folder / name)
    counts = rows["variant"].value_counts().to_dict()
    logger.info("Libri2Mix: mixtures of each variant: %s", counts)
