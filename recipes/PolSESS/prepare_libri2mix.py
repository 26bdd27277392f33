"""Prepares the test set of Libri2Mix, to test models on another corpus.

Libri2Mix (Cosentino, Pariente, Cornell, Deleforge, Vincent, 2020) mixes two
speakers of LibriSpeech, with or without noise of WHAM. Its scripts write:

    <Libri2Mix>/wav8k/min/test/{mix_clean,mix_both,s1,s2,noise}/<mixture_ID>.wav
    <Libri2Mix>/wav8k/min/metadata/mixture_test_mix_clean.csv
    <Libri2Mix>/wav8k/min/metadata/mixture_test_mix_both.csv

In the words of PolSESS each mixture has two variants, without reverberation:

    C = mix_clean = s1 + s2            S = mix_both = s1 + s2 + noise (the scene)

Both are read as they are stored. Traps:

* the paths in the CSVs are absolute ones of the machine that made the corpus:
  files are found by mixture_ID in the folders above instead;
* the scripts can leave mix_clean or mix_both out, and the noise with it;
* in some releases the CSVs have a column original_mixture_ID, in others not.

train.py calls it, for hparams/test_libri2mix.yaml.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
from pathlib import Path

import pandas as pd
from audit.findings import FINDING_COLUMNS, erroneous
from audit.libri2mix import KINDS, find_corpus, find_kinds, read_rows
from audit.libri2mix_rows import audit_rows
from audit.listings import list_findings, log_warnings, report, to_csv
from audit.metadata import FILES
from audit.reuse import find_change, hash_folder, replace_files
from prepare_polsess import (
    AUDITS,
    BAD_ROWS,
    MANIFEST_COLUMNS,
    VARIANT_SETTINGS,
    CorpusError,
)

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

SPLITS = ["test"]


def prepare_libri2mix(
    data_folder,
    save_folder,
    splits=("test",),
    sample_rate=8000,
    audit="quick",
    on_bad_rows="error",
    n_jobs=None,
    skip_prep=False,
):
    """Checks the test set and writes <save_folder>/test_<VARIANT>.csv.

    The manifests of C and S hold the mixtures, sorted by ID, those of other
    variants none. The paths start with ``$data_root``, the data_folder. Where
    only mix_clean or only mix_both was generated, a log line says so. The
    corpus stays as it is; next to the manifests lie the files that
    ``prepare_polsess`` writes too, and unchanged manifests are reused.

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
    audit : str
        "quick": headers of all files, samples of 200 mixtures; "full": samples
        of all; "none": no audio, the metadata are believed.
    on_bad_rows : str
        "error" stops at rows with errors, "skip" leaves them out.
    n_jobs : int, optional
        Number of threads that read audio. Default: four per CPU.
    skip_prep : bool
        If True, nothing is done.

    Raises
    ------
    CorpusError
        With all errors that were found, if the corpus cannot be used.
    """
    if skip_prep:
        logger.info("Preparation skipped: the manifests are used as they are")
        return
    _check_choices(splits, audit, on_bad_rows)
    base, corpus = find_corpus(data_folder, sample_rate)
    metadata = find_kinds(corpus)
    for variant in set(KINDS) - set(metadata):
        logger.info(
            f"{corpus} has no {KINDS[variant]}: variant {variant} is not "
            f"tested, only {', '.join(metadata)}"
        )
    save_folder = Path(save_folder)
    inputs = {"test": _hash_inputs(corpus, metadata, [audit, on_bad_rows])}
    change = find_change(save_folder, SPLITS, inputs)
    if not change:
        logger.info("Manifests in %s are up to date: reused", save_folder)
        return
    logger.info("Preparing test: %s", change)
    rows = read_rows(base, corpus, metadata)
    rows, tables = audit_rows(rows, base, sample_rate, audit, n_jobs)
    _write(save_folder, rows, tables, on_bad_rows, inputs)


def _check_choices(splits, audit, on_bad_rows):
    """Refuses unknown options, and splits for a training."""
    if list(splits) != SPLITS:
        raise ValueError(
            f"splits={list(splits)}: Libri2Mix is prepared for tests alone, "
            "expected [test]; leave test_only: True in the YAML"
        )
    for name, given, known in (
        ("audit", audit, AUDITS),
        ("on_bad_rows", on_bad_rows, BAD_ROWS),
    ):
        if given not in known:
            raise ValueError(f"{name}={given}: choose from {', '.join(known)}")


def _hash_inputs(corpus, metadata, options):
    """Hashes all that the manifests depend on, as ``audit.reuse`` does."""
    here = Path(__file__).resolve()
    code = [here.with_name("prepare_polsess.py"), here]
    code += sorted(here.parent.glob("audit/*.py"))
    digest = hashlib.sha256(repr([str(corpus), *options]).encode())
    for path in [*code, *metadata.values()]:
        digest.update(path.read_bytes())
    for name in (*KINDS.values(), "s1", "s2", "noise"):
        hash_folder(digest, corpus / "test" / name)
    return digest.hexdigest()


def _write(save_folder, rows, tables, on_bad_rows, inputs):
    """Writes the listings and, unless errors stop it, the manifests."""
    is_bad = rows.index.isin(erroneous(tables))
    table = pd.concat([pd.DataFrame(columns=FINDING_COLUMNS), *tables])
    log_warnings(table)
    listings = list_findings(save_folder, SPLITS, rows[is_bad], table)
    if is_bad.any() and (on_bad_rows == "error" or is_bad.all()):
        replace_files(save_folder, listings, SPLITS, {})
        errors = table[table["severity"] == "error"]
        raise CorpusError(report(errors, save_folder / "audit.csv"))
    manifests = _make_manifests(rows[~is_bad])
    replace_files(save_folder, {**listings, **manifests}, SPLITS, inputs)
    hours = rows["frames"] / rows["sample_rate"] / 3600
    for variant, group in hours[~is_bad].groupby(rows["variant"]):
        what = f"{variant} ({KINDS[variant]})"
        logger.info(
            "%s: %d mixtures, %.2f hours", what, len(group), group.sum()
        )
    if is_bad.any():
        logger.warning("%d rows left out, see excluded.csv", is_bad.sum())


def _make_manifests(rows):
    """File name -> content of the manifests and the metadata."""
    rows = rows.sort_values(["ID", "variant"], kind="stable")
    rows = rows.assign(
        duration=rows["frames"] / rows["sample_rate"],
        sample_rate=rows["sample_rate"].astype(int),
        ssr_db="",
        scene_class="",
        event_class="",
    )
    for column in FILES:
        paths = "$data_root/" + rows[column]
        rows[column] = paths.where(rows[column] != "", "")
    manifests = {
        f"test_{variant}.csv": to_csv(
            rows.loc[rows["variant"] == variant, MANIFEST_COLUMNS]
        )
        for variant in VARIANT_SETTINGS
    }
    metadata = rows.drop_duplicates("ID")[["ID", "length"]]
    return {**manifests, "test_metadata.csv": to_csv(metadata)}
