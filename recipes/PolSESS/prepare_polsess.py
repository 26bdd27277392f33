"""Prepares PolSESS: checks the corpus and writes one manifest per variant.

PolSESS (Kleć, Szklanny, Wieczorkowska, 2024) is a corpus of two Polish speakers
in complex acoustic environments. One row of its metadata is one mixture:

    mix = s1 + s2 + scene + event            outdoors, and indoors
          + s1_reverb + s2_reverb + event_reverb       (wet-only tails)

with every term in a file of its own, so that a recipe can cancel any of them:

    <root>/<subset>/{mix,clean,scene,event,sp1_reverb,sp2_reverb,ev_reverb}
    <root>/<subset>/corpus_<name of root>_<subset>_final.csv

for the subsets train, val and test (the CSV may also lie in <root>). A variant
names the components that stay: S scene, E event, R the speakers' reverberation,
C nothing but the dry speech. Traps of published corpora: the generator limits
s1 + s2 but stores s1 and s2 unlimited, so some mixtures are not the sum of
their files; splits share speakers, recordings and scenes; rows are repeated.

train.py calls it. To run it alone, on one or several corpora:
> python prepare_polsess.py --data_folder PolSESS --save_folder manifests
> python prepare_polsess.py --data_folder PolSESS_C_in PolSESS_C_out
  --save_folder manifests --splits test --on_bad_rows skip

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import hashlib
import itertools
import json
import logging
import os
import re
import sys
import zlib
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from paths import expand_home, read_cells, replacing

from speechbrain.dataio import audio_io
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import parallel_map

logger = get_logger(__name__)

# The corpus says "val" where SpeechBrain says "valid".
SUBSETS = {"train": "train", "valid": "val", "test": "test"}

# Manifest column -> (column of the metadata, folder of the file). The first
# five are in every row, the three reverberations in indoor rows only.
FILES = {
    "mix_wav": ("mixFile", "mix"),
    "s1_wav": ("speaker1File", "clean"),
    "s2_wav": ("speaker2File", "clean"),
    "scene_wav": ("sceneFile", "scene"),
    "event_wav": ("eventFile", "event"),
    "s1_reverb_wav": ("reverbForSpeaker1", "sp1_reverb"),
    "s2_reverb_wav": ("reverbForSpeaker2", "sp2_reverb"),
    "event_reverb_wav": ("reverbForEvent", "ev_reverb"),
}
REVERBS = [column for column in FILES if "reverb" in column]
# Other columns that are read.
TEXTS = dict(ssr_db="SSR", scene_class="sceneClass", event_class="eventClass")
RECORDINGS = {
    "recording1": "speech1OryginalPath",
    "recording2": "speech2OryginalPath",
    "event_recording": "eventOryginalPath",
    "scene_recording": "sceneOryginalPath",
}
MANIFEST_COLUMNS = (
    *("ID", "duration", "setting", "sample_rate"),
    *(*FILES, *TEXTS, "speaker1", "speaker2"),
)
# Variant -> settings that have it. Outdoors there is no reverberation (R).
VARIANT_SETTINGS = {
    **dict.fromkeys(("SER", "SR", "ER", "R"), ("indoor",)),
    **dict.fromkeys(("SE", "S", "E"), ("outdoor",)),
    "C": ("indoor", "outdoor"),
}
# Parameters of the reverberation, filled in indoor rows only.
REVERB_PARAMETERS = (
    "preDelayForEvent preDelay1 preDelay2 highCut diffusion decay freqDamp"
).split()
REQUIRED = (
    *(column for column, _ in FILES.values()),
    *(*TEXTS.values(), *RECORDINGS.values(), *REVERB_PARAMETERS, "subset"),
)
# What splits should not share: kind -> keys of a row.
SHARED = {
    "mixture": ("ID",),
    "speaker": ("speaker1", "speaker2"),
    "recording": ("recording1", "recording2", "event_recording"),
    "scene": ("scene_recording",),
}
# What MATLAB and spreadsheets write into an empty cell.
EMPTY_CELLS = {"", "NaN", "nan", "NA", "missing", "<missing>", "<undefined>"}
# SpeechBrain replaces $words in every value of a CSV.
UNUSABLE = re.compile(r"[$\x00-\x1f]")
# A name lies directly in its folder: no separators, no drive, no "..".
OUTSIDE = re.compile(r"[/\\]|^[A-Za-z]:|^\.\.?$")
# EMU (session SESxxxx) and MLS (<speaker>_<book>_<number>) name the speaker.
SPEAKER = re.compile(r"(?:^|/)(?:(SES\d+)|(\d+)_\d+_\d+\.\w+$)")

SAMPLED_ROWS_PER_SPLIT = 200
# A mixture that differs by more, relative to its level, is not the sum of its
# components: subtracting one of them would add it with the opposite sign.
MAX_RESIDUE_DB = -40

# A defect of a row: its place in the metadata, its file, what is wrong.
PLACE = ("split", "ID", "metadata", "row")
Finding = namedtuple("Finding", ("check", *PLACE, "file", "expected", "found"))
# All other checks find errors.
WARNINGS = {
    *("repeated row", "other subset", "same speaker twice"),
    *(f"shared {kind}" for kind in SHARED),
    *("beyond rounding", "clipped", "silent", "near-silent speech"),
}
ACTION = (
    "render or copy the files again, correct the metadata, or "
    "leave the rows out with --on_bad_rows=skip"
)


class CorpusError(ValueError):
    """A corpus that cannot be used; the message says what to do."""


def prepare_polsess(
    data_folder,
    save_folder,
    splits=("train", "valid", "test"),
    on_bad_rows="error",
    skip_prep=False,
    n_jobs=None,
    audit=None,
):
    """Checks PolSESS and writes <save_folder>/<split>_<VARIANT>.csv.

    Each manifest holds the mixtures that have the variant, sorted by ID. The
    paths start with ``$data_root``, see ``data_root``. Next to them lie
    test_metadata.csv (all columns of the corpus), audit.csv (all findings),
    excluded.csv (rows left out) and prepare.json, by which the manifests are
    reused as long as nothing changed. The corpus is only read.

    Arguments
    ---------
    data_folder : str, Path or list of them
        The folder of the corpus, or of several (indoor and outdoor corpora).
    save_folder : str or Path
        Where the manifests are written.
    splits : sequence of str
        Of train, valid, test. The corpus needs to have only these.
    on_bad_rows : str
        "error" stops at rows with errors, "skip" leaves them out.
    skip_prep : bool
        If True, nothing is done.
    n_jobs : int, optional
        Number of threads that read audio. Default: four more than CPUs.
    audit : callable, optional
        Checks samples, in place of the sums of 200 mixtures per split. Takes
        rows, data root and n_jobs; returns a list of Finding. With it, nothing
        is reused.

    Raises
    ------
    CorpusError
        With all errors that were found, if the corpus cannot be used.
    """
    if skip_prep:
        logger.info("Preparation skipped: the manifests are used as they are")
        return
    splits = [splits] if isinstance(splits, str) else list(splits)
    if not splits or not set(splits) <= set(SUBSETS):
        raise ValueError(f"splits={splits}: choose from {', '.join(SUBSETS)}")
    if n_jobs is not None and n_jobs < 1:
        raise ValueError(f"n_jobs={n_jobs}: expected 1 or more threads")
    if on_bad_rows not in ("error", "skip"):
        raise ValueError(f"on_bad_rows={on_bad_rows}: choose from error, skip")
    base, save_folder = data_root(data_folder), Path(save_folder)
    sources = _find_metadata(_list_roots(data_folder), base, splits)
    inputs = _hash_inputs(sources, base, on_bad_rows)
    if not audit and _is_up_to_date(save_folder, inputs):
        logger.info("Manifests in %s are up to date: reused", save_folder)
        return
    logger.info("Preparing %s in %s", ", ".join(splits), save_folder)
    rows, findings = _check_rows(_read_rows(sources), base, n_jobs, audit)
    findings = pd.DataFrame(findings, columns=Finding._fields, dtype=str)
    errors = findings[~findings["check"].isin(WARNINGS)]
    contents = _list_findings(findings, errors)
    empty = set(splits) - {row["split"] for row in rows}
    if len(errors) and (on_bad_rows == "error" or empty):
        _write(save_folder, {**contents, "prepare.json": b"{}"})
        raise CorpusError(_report(errors, save_folder / "audit.csv", empty))
    records = {}
    for split in splits:
        manifests = _make_manifests(split, rows)
        contents.update(manifests)
        records[split] = _hash(inputs[split], manifests.values())
    contents["prepare.json"] = json.dumps(records, indent=1).encode()
    _write(save_folder, contents)
    counts = Counter(f"{row['split']} {row['setting']}" for row in rows)
    logger.info("Mixtures: %s", dict(counts))
    if len(errors):
        logger.warning("Rows are left out, see excluded.csv")


def data_root(data_folder):
    """Finds the folder that ``$data_root`` stands for in the manifests.

    Arguments
    ---------
    data_folder : str, Path or list of them
        As passed to ``prepare_polsess``.

    Returns
    -------
    root : Path
        The corpus root itself, or the common parent folder of several.

    Raises
    ------
    CorpusError
        If one of them does not exist.

    Example
    -------
    >>> tmpdir = getfixture("tmpdir")
    >>> corpora = [tmpdir.mkdir(name) for name in ("indoor", "outdoor")]
    >>> data_root(corpora) == Path(tmpdir)
    True
    >>> data_root(corpora[0]).name
    'indoor'
    """
    return Path(os.path.commonpath(_list_roots(data_folder)))


def _list_roots(data_folder):
    """Absolute corpus roots, each once."""
    if isinstance(data_folder, (str, os.PathLike)):
        data_folder = [data_folder]
    given = [os.fspath(folder) for folder in data_folder or []]
    roots = [os.path.abspath(os.path.expanduser(f)) for f in given if f]
    missing = [root for root in roots if not os.path.isdir(root)]
    if missing or not roots:
        raise CorpusError(
            f"data_folder: no such folder: {', '.join(missing) or data_folder}."
            " What to do: pass the PolSESS folder with --data_folder or the "
            "environment variable POLSESS_DATA_ROOT"
        )
    return [Path(root) for root in dict.fromkeys(roots)]


def _find_metadata(roots, base, splits):
    """Finds the CSV of each split and root: (split, folder, name, path)."""
    sources, problems = [], []
    for root, split in itertools.product(roots, splits):
        subset, folder = SUBSETS[split], root / SUBSETS[split]
        exact = f"corpus_{root.name}_{subset}_final.csv"
        paths = [
            path
            for where in (folder, root)
            for path in sorted(where.glob(f"corpus*_{subset}_final.csv"))
        ]
        # A root that was renamed keeps the old name in its CSVs.
        paths = [path for path in paths if path.name == exact] or paths
        name = os.path.relpath(folder, base)
        if not folder.is_dir():
            below = sorted(str(f.parent) for f in root.glob(f"*/{subset}"))
            advice = "ask for other splits (train.py: --test_only)"
            if below:
                advice = f"pass the corpora below as [{', '.join(below)}]"
            problem = f"a folder, found none; check --data_folder, or {advice}"
        elif UNUSABLE.search(name):
            problem = "a path without $; rename it"
        elif not paths:
            problem = f"{exact}, found none; copy it there"
        elif len({path.read_bytes() for path in paths}) > 1:
            names = ", ".join(os.path.relpath(path, root) for path in paths)
            problem = f"one CSV, found {names} differ; remove the old one"
        else:
            metadata = os.path.relpath(paths[0], base)
            sources.append((split, name, metadata, paths[0]))
            continue
        problems.append(f"{folder}: expected {problem}")
    if problems:
        raise CorpusError("\n".join(problems))
    return sources


def _hash_inputs(sources, base, on_bad_rows):
    """Split -> hash of all that its manifests depend on.

    Audio counts by name, size and time of change: reading it takes too long.
    """
    hashes = {}
    for split, folder, name, path in sources:
        start = Path(__file__).read_bytes() + on_bad_rows.encode()
        digest = hashes.setdefault(split, hashlib.sha256(start))
        digest.update(os.fsencode(name) + path.read_bytes())
        for below in sorted(
            {base / folder / name for _, name in FILES.values()}
        ):
            for entry in sorted(os.listdir(below) if below.is_dir() else []):
                file = below / entry
                status = file.stat() if file.exists() else file.lstat()
                line = f"{status.st_size} {status.st_mtime_ns}"
                digest.update(os.fsencode(entry) + line.encode())
    return {split: digest.hexdigest() for split, digest in hashes.items()}


def _read_rows(sources):
    """Reads the metadata: a dict for each mixture."""
    rows = []
    for split, folder, name, path in sources:
        try:
            (_, header), *lines = read_cells(path, REQUIRED) or [(0, [])]
        except ValueError as error:
            raise CorpusError(str(error)) from None
        missing = [column for column in REQUIRED if column not in header]
        if missing or not lines:
            raise CorpusError(
                f"{path}: expected a row per mixture, found no "
                f"{', '.join(missing) or 'rows'}; export the metadata again"
            )
        for line, cells in lines:
            place = name, str(line)
            rows.append(_make_row(split, folder, place, header, cells))
    for split in SUBSETS:
        _add_speakers([row for row in rows if row["split"] == split])
    return rows


def _make_row(split, folder, place, header, cells):
    """Keeps the needed cells of a row, with paths below the data root."""
    record = {}
    for column, cell in zip(header, cells + [""] * len(header)):
        # The first of equal names counts.
        record.setdefault(column, "" if cell in EMPTY_CELLS else cell)
    name = record["mixFile"].rsplit(".", 1)[0]
    row = {"split": split, "ID": name, "cells": record, "folder": folder}
    row["place"] = (split, name, *place)
    row["n_cells_more"] = len(cells) - len(header)
    for column, source in {**TEXTS, **RECORDINGS}.items():
        row[column] = record[source]
    for column, (source, below) in FILES.items():
        file = record[source]
        row[column] = f"{folder}/{below}/{file}" if file else ""
    reverb = [FILES[column][0] for column in REVERBS] + REVERB_PARAMETERS
    has_reverb = any(record[column] for column in reverb)
    row["setting"] = "indoor" if has_reverb else "outdoor"
    return row


def _add_speakers(rows):
    """Fills the speakers of one split, and shortens paths of recordings.

    Where no column names speakers, the paths do: a file's name or its folder,
    unless all are the same one.
    """
    for row, key in itertools.product(rows, RECORDINGS):
        row[key] = row[key].replace("\\", "/")
    paths = {row[key] for row in rows for key in ("recording1", "recording2")}
    named = {path: SPEAKER.search(path) for path in paths}
    speakers = {p: "".join(p.split("/")[-2:-1]) for p in paths if not named[p]}
    if len({*speakers.values()} - {""}) == 1:
        speakers = {}
    speakers.update((p, m[1] or m[2]) for p, m in named.items() if m)
    for row in rows:
        for n in "12":
            guess = speakers.get(row[f"recording{n}"], "")
            row[f"speaker{n}"] = row["cells"].get(f"speech{n}Speaker", guess)
        for key in RECORDINGS:
            # EMU repeats its file names in every session.
            row[key] = "/".join(row[key].lower().split("/")[-3:])


def _find(row, file, *checks):
    """Findings of those checks of a row or file that hold.

    A check is a tuple: whether it holds, its name, expected, found.
    """
    return [
        Finding(name, *row["place"], file, str(expected), str(found))
        for holds, name, expected, found in checks
        if holds
    ]


def _check_rows(rows, base, n_jobs, audit):
    """Returns the rows without errors and repetitions, and all findings."""
    unique, findings = {}, []
    for row in rows:
        key = row["folder"], *(row[column] for column in FILES)
        is_old = unique.setdefault(key, row) is not row
        findings += _find(row, "", (is_old, "repeated row", "once", "again"))
    rows = list(unique.values())
    names = Counter((row["split"], row["ID"]) for row in rows)
    for row in rows:
        findings += _check_cells(row, names[row["split"], row["ID"]])
        if not audit and row["split"] != "test":
            del row["cells"]  # memory, where there are 128,000 rows
    # Each check reads only rows that the ones before it found no error in.
    for check in (_check_headers, audit or _check_sums):
        rows = _without_errors(rows, findings)
        findings += check(rows, base, n_jobs)
    rows = _without_errors(rows, findings)
    return rows, findings + _count_leaks(rows)


def _without_errors(rows, findings):
    """The rows in which no error was found."""
    bad = {f[1:5] for f in findings if f.check not in WARNINGS}
    return [row for row in rows if row["place"] not in bad]


def _check_cells(row, n_same):
    """Finds what is wrong with the metadata of one row."""
    cells, speaker = row["cells"], row["speaker1"]
    subset, said = SUBSETS[row["split"]], cells["subset"]
    n_more, is_one = row["n_cells_more"], speaker == row["speaker2"]
    unique = "one row of this name, in one corpus"
    findings = _find(
        row,
        "",
        (n_more, "cut row", "a cell per column", f"{n_more:+} cells"),
        (n_same > 1 and row["ID"], "conflicting rows", unique, n_same),
        (said != subset, "other subset", subset, said),
        (speaker and is_one, "same speaker twice", "two speakers", speaker),
    )
    for column, (source, _) in FILES.items():
        name = cells[source]
        is_needed = column not in REVERBS or row["setting"] == "indoor"
        is_outside = OUTSIDE.search(name)
        findings += _find(
            row,
            source,
            (is_needed and not name, "empty name", "a name", "none"),
            (is_outside, "name leaves the corpus", "a plain name", name),
        )
    for key in (*FILES, *TEXTS, "speaker1", "speaker2"):
        is_bad, value = UNUSABLE.search(row[key]), row[key]
        findings += _find(row, key, (is_bad, "unusable value", "no $", value))
    return findings


def _map(function, items, n_jobs):
    """Maps in threads: reading waits for the disk most of the time."""
    with ThreadPoolExecutor(n_jobs) as pool:
        return list(parallel_map(function, items, chunk_size=64, executor=pool))


def _check_headers(rows, base, n_jobs):
    """Compares the headers of all files; adds duration and rate to the rows."""
    files = sorted({row[c] for row in rows for c in FILES if row[c]})
    paths = [os.path.join(base, file) for file in files]
    headers = dict(zip(files, _map(_read_header, paths, n_jobs)))
    rates = Counter(header[1] for header in headers.values())
    del rates[0]
    hz = max(rates, key=lambda rate: (rates[rate], rate), default=1)
    findings = []
    for row in rows:
        files = [row[column] for column in FILES if row[column]]
        lengths = Counter(headers[file][0] for file in files)
        del lengths[0]
        # Of equally common lengths that of the mixture, which is the first.
        n = max(lengths, key=lengths.get, default=0)
        row["duration"], row["sample_rate"] = n / hz, hz
        for file in files:
            frames, rate, channels, error = headers[file]
            kind = "missing" if error == "none" else "unreadable"
            checks = [(error, f"{kind} file", "a WAV file", error)]
            if not error:
                checks = [
                    (not frames, "empty audio", "samples", "0 samples"),
                    (frames != n, "length differs", f"{n} samples", frames),
                    (rate != hz, "sample rate differs", f"{hz} Hz", rate),
                    (channels != 1, "not mono", "1 channel", channels),
                ]
            findings += _find(row, file, *checks)
    return findings


def _read_header(path):
    """Length, sample rate and channels of a file, or what is wrong with it."""
    try:
        info = audio_io.info(path)
        return info.frames, info.sample_rate, info.channels, ""
    except RuntimeError as error:
        return 0, 0, 0, str(error) if os.path.exists(path) else "none"


def _check_sums(rows, base, n_jobs):
    """Checks the sums of 200 mixtures per split, drawn by their IDs alone."""
    tasks, counts = [], Counter()
    for row in sorted(rows, key=lambda row: zlib.crc32(row["ID"].encode())):
        counts[row["split"]] += 1
        if counts[row["split"]] <= SAMPLED_ROWS_PER_SPLIT:
            tasks.append((base, row))
    return [f for found in _map(_check_sum, tasks, n_jobs) for f in found]


def _check_sum(task):
    """Compares one mixture with the sum of its components."""
    base, row = task
    paths = [base / row[column] for column in FILES if row[column]]
    try:
        mixture, *components = (
            audio_io.load(path)[0].numpy().astype(np.float64) for path in paths
        )
    except RuntimeError as error:
        return _find(row, "", (True, "unreadable file", "WAV files", error))
    residue, power = mixture - sum(components), np.sum(mixture**2)
    level_db = 10 * np.log10((np.sum(residue**2) + 1e-20) / (power + 1e-20))
    is_sum = level_db <= MAX_RESIDUE_DB  # False if samples are NaN, too
    texts = f"residue below {MAX_RESIDUE_DB} dB", f"{level_db:.1f} dB"
    return _find(
        row, row["mix_wav"], (not is_sum, "mixture is not the sum", *texts)
    )


def _count_leaks(rows):
    """Counts what splits share: a finding for each kind and pair of splits."""
    findings = []
    pairs = itertools.combinations(dict.fromkeys(r["split"] for r in rows), 2)
    for (one, two), (kind, keys) in itertools.product(pairs, SHARED.items()):
        known = {r[key] for r in rows if r["split"] == one for key in keys}
        later = [{r[key] for key in keys} for r in rows if r["split"] == two]
        shared = [values & known - {""} for values in later]
        n_values, n_rows = len(set().union(*shared)), sum(map(bool, shared))
        texts = f"none of {one}", f"{n_values} in {n_rows} mixtures"
        place = {"place": (two, "", "", "")}
        findings += _find(place, "", (n_rows, f"shared {kind}", *texts))
    return findings


def _list_findings(findings, errors):
    """Makes audit.csv and excluded.csv; logs the warnings."""
    is_warning = findings["check"].isin(WARNINGS)
    warnings = findings[is_warning].groupby(["split", "check", "expected"])
    for (split, check, expected), group in warnings:
        text = "%s: %s: expected %s, found %s; %d such, see audit.csv"
        found = group["found"].iloc[0]
        logger.warning(text, split, check, expected, found, len(group))
    severity = np.where(is_warning, "warning", "error")
    action = np.where(is_warning, "scores may mislead", ACTION)
    table = findings.assign(severity=severity, action=action)
    table = table[["severity", *findings.columns, "action"]]
    file = (" (" + errors["file"] + ")").where(errors["file"] != "", "")
    excluded = errors[list(PLACE)].assign(reason=errors["check"] + file)
    excluded = excluded.groupby(list(PLACE), as_index=False).agg("; ".join)
    table = table.sort_values(list(table.columns))
    return {"audit.csv": _to_csv(table), "excluded.csv": _to_csv(excluded)}


def _report(errors, path, empty):
    """Makes the message: number of each kind of error, and the first five."""
    lines = [f"errors in the corpus: {len(errors)}, all listed in {path}"]
    for check, group in errors.groupby("check", sort=False):
        lines.append(f"{check}: {len(group)}, such as")
        lines += [
            f"  {e.metadata} row {e.row}: mixture {e.ID}: {e.file}: expected "
            f"{e.expected}, found {e.found}"
            for e in group.head(5).itertuples()
        ]
    lines += [f"no rows left: {split}" for split in sorted(empty)]
    return "\n".join([*lines, f"What to do: {ACTION}"])


def _make_manifests(split, rows):
    """File name -> content of the manifests of a split, and test_metadata."""
    rows = [row for row in rows if row["split"] == split]
    table = pd.DataFrame(rows, columns=MANIFEST_COLUMNS).sort_values("ID")
    for column in FILES:
        paths = "$data_root/" + table[column]
        table[column] = paths.where(table[column] != "", "")
    contents = {}
    for variant, settings in VARIANT_SETTINGS.items():
        chosen = table[table["setting"].isin(settings)]
        contents[f"{split}_{variant}.csv"] = _to_csv(chosen)
    if split == "test":
        cells = pd.DataFrame(
            [{"ID": "", **r["cells"], "ID": r["ID"]} for r in rows]
        )
        cells = cells.drop(columns="", errors="ignore").fillna("")
        contents["test_metadata.csv"] = _to_csv(cells.sort_values("ID"))
    return contents


def _to_csv(table):
    """The content of a CSV, the same on every system."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def _hash(inputs, contents):
    """Hashes the inputs and the manifests of a split."""
    return hashlib.sha256(b"".join([inputs.encode(), *contents])).hexdigest()


def _is_up_to_date(save_folder, inputs):
    """Says whether inputs and manifests are those of the last preparation."""
    lists = [save_folder / name for name in ("audit.csv", "excluded.csv")]
    try:
        records = json.loads((save_folder / "prepare.json").read_bytes())
        for split, digest in inputs.items():
            names = [f"{split}_{variant}.csv" for variant in VARIANT_SETTINGS]
            names += ["test_metadata.csv"] * (split == "test")
            contents = [(save_folder / name).read_bytes() for name in names]
            if records[split] != _hash(digest, contents):
                return False
        return all(path.is_file() for path in lists)
    except (OSError, ValueError, TypeError, KeyError):
        return False  # nothing was prepared yet, or something else


def _write(save_folder, contents):
    """Writes files, all of them or none.

    A preparation that is killed leaves the files of before, whole ones of now,
    or both; the next one sees it from their hashes.
    """
    save_folder.mkdir(parents=True, exist_ok=True)
    with replacing(*(save_folder / name for name in contents)) as new:
        for path, content in zip(new, contents.values()):
            path.write_bytes(content)


def main():
    """Runs the preparation from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = os.environ.get("POLSESS_DATA_ROOT")
    parser.add_argument("--data_folder", nargs="+", default=default)
    parser.add_argument("--save_folder", required=True)
    parser.add_argument("--splits", nargs="+", default=list(SUBSETS))
    parser.add_argument("--on_bad_rows", default="error", help="error or skip")
    parser.add_argument("--n_jobs", type=int, help="threads that read audio")
    # local: begin (full: all samples of all mixtures, and links)
    parser.add_argument("--audit", choices=["quick", "full"], default="quick")
    # local: end
    options = vars(parser.parse_args(expand_home()))
    # local: begin
    from pydoc import locate

    full = options["audit"] == "full"
    options["audit"] = locate("audit.full.audit") if full else None
    # local: end
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        prepare_polsess(**options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
