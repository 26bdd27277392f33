"""Prepares PolSESS: audits the corpus and writes one manifest per variant.

PolSESS (Kleć, Szklanny, Wieczorkowska, 2024) is a corpus of two Polish speakers
in complex acoustic environments. One row of its metadata is one mixture:

    mix = s1 + s2 + scene + event            outdoors, and indoors
          + s1_reverb + s2_reverb + event_reverb       (wet-only tails)

with every term in a file of its own, so that a recipe can cancel any of them:

    <root>/<subset>/{mix,clean,scene,event,sp1_reverb,sp2_reverb,ev_reverb}
    <root>/<subset>/corpus_<name of root>_<subset>_final.csv

for the subsets train, val and test (the CSV may also lie in <root>). A variant
names the components that stay: S scene, E event, R the speakers' reverberation,
C nothing but the dry speech. Traps of published corpora, found by the audit:

* the generator limits s1 + s2, but stores s1 and s2 unlimited: such mixtures
  differ from the sum of their files;
* near-silent speech, saturated scenes and events, the same person twice;
* speakers, recordings and scenes shared between splits, repeated rows;
* libsndfile reads a truncated file as a shorter one without an error.

To run it alone (train.py does the same by itself), on one or several corpora:
> python prepare_polsess.py --data_folder PolSESS --save_folder manifests
> python prepare_polsess.py --data_folder PolSESS_C_in PolSESS_C_out
  --save_folder manifests --splits test --audit full --on_bad_rows skip

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import pandas as pd

from speechbrain.utils.logger import get_logger

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

# Variant -> settings that have it. Outdoors there is no reverberation (R).
VARIANT_SETTINGS = {
    "SER": ("indoor",),
    "SR": ("indoor",),
    "ER": ("indoor",),
    "R": ("indoor",),
    "SE": ("outdoor",),
    "S": ("outdoor",),
    "E": ("outdoor",),
    "C": ("indoor", "outdoor"),
}

MANIFEST_COLUMNS = (
    "ID duration setting sample_rate mix_wav s1_wav s2_wav scene_wav event_wav "
    "s1_reverb_wav s2_reverb_wav event_reverb_wav ssr_db scene_class "
    "event_class speaker1 speaker2"
).split()

AUDITS = ("quick", "full", "none")
BAD_ROWS = ("error", "skip")


class CorpusError(ValueError):
    """A corpus that cannot be used; the message says what to do."""


def prepare_polsess(
    data_folder,
    save_folder,
    splits=("train", "valid", "test"),
    audit="quick",
    on_bad_rows="error",
    n_jobs=None,
    skip_prep=False,
):
    """Audits PolSESS and writes <save_folder>/<split>_<VARIANT>.csv.

    Each manifest holds the mixtures that have the variant, sorted by ID. The
    paths start with ``$data_root``, see ``data_root``. Next to them lie
    audit.csv (all findings), excluded.csv (rows left out) and prepare.json
    (by which the manifests are reused as long as nothing changed).

    Arguments
    ---------
    data_folder : str, Path or list of them
        The folder of the corpus, or of several (indoor and outdoor corpora).
    save_folder : str or Path
        Where the manifests are written.
    splits : sequence of str
        Of train, valid, test. The corpus needs to have only these.
    audit : str
        "quick": headers of all files, samples of 200 mixtures per split;
        "full": samples of all mixtures; "none": no audio at all, the first
        mixture of each subset gives the duration of all (for metadata only).
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
    from audit.corpora import list_roots

    splits = _check_choices(splits, audit, on_bad_rows)
    roots = list_roots(data_folder, allow_missing=True)
    base = Path(os.path.commonpath(roots))
    _prepare_manifests(
        roots, base, Path(save_folder), splits, audit, on_bad_rows, n_jobs
    )


def data_root(data_folder):
    """The folder that ``$data_root`` stands for in the manifests.

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
    >>> for corpus in corpora:
    ...     _ = corpus.mkdir("test")
    >>> data_root(corpora) == Path(tmpdir)
    True
    >>> data_root(corpora[0]).name
    'indoor'
    """
    from audit.corpora import list_roots

    return Path(os.path.commonpath(list_roots(data_folder)))


def _prepare_manifests(
    roots, base, save_folder, splits, audit, on_bad_rows, n_jobs
):
    """Writes the manifests, or leaves them where nothing changed."""
    from audit.corpora import locate
    from audit.findings import FINDING_COLUMNS, corpus_finding, erroneous
    from audit.listings import (
        list_findings,
        log_totals,
        log_warnings,
        report,
        to_csv,
    )
    from audit.metadata import read_all_columns, read_rows
    from audit.reuse import find_change, hash_inputs, replace_files
    from audit.rows import audit_rows

    sources, problems = locate(roots, base, splits)
    inputs = {} if problems else hash_inputs(sources, [audit, on_bad_rows])
    change = find_change(save_folder, splits, inputs)
    if not change:
        logger.info("Manifests in %s are up to date: reused", save_folder)
        return
    logger.info("Preparing %s: %s", ", ".join(splits), change)
    rows, more_problems = read_rows(sources)
    rows, tables = audit_rows(rows, base, audit, n_jobs)
    is_bad = rows.index.isin(erroneous(tables))
    problems += more_problems
    if on_bad_rows == "skip":
        problems += _find_empty_splits(rows, is_bad)
    tables = [corpus_finding(*problem) for problem in problems] + tables
    table = pd.concat([pd.DataFrame(columns=FINDING_COLUMNS), *tables])
    log_warnings(table)
    listings = list_findings(save_folder, splits, rows[is_bad], table)
    severities = ["corpus", "error"] if on_bad_rows == "error" else ["corpus"]
    stopping = table[table["severity"].isin(severities)]
    if len(stopping):
        replace_files(save_folder, listings, splits, {})
        raise CorpusError(report(stopping, save_folder / "audit.csv"))
    manifests = _make_manifests(rows[~is_bad], splits)
    if "test" in splits:
        # All that the corpus says of a mixture, to report scores by.
        of_test = [source for source in sources if source.split == "test"]
        table = read_all_columns(
            of_test, rows[~is_bad & (rows["split"] == "test")]
        )
        manifests["test_metadata.csv"] = to_csv(table)
    replace_files(save_folder, {**listings, **manifests}, splits, inputs)
    log_totals(rows[~is_bad], rows[is_bad])


def _check_choices(splits, audit, on_bad_rows):
    """Refuses unknown options; returns the splits in their usual order."""
    splits = [splits] if isinstance(splits, str) else list(splits)
    for name, given, known in (
        ("splits", splits, tuple(SUBSETS)),
        ("audit", [audit], AUDITS),
        ("on_bad_rows", [on_bad_rows], BAD_ROWS),
    ):
        if not given or not set(given) <= set(known):
            raise ValueError(f"{name}={given}: choose from {', '.join(known)}")
    return [split for split in SUBSETS if split in splits]


def _find_empty_splits(rows, is_bad):
    """Splits of which nothing is left once bad rows are skipped."""
    return [
        ("no rows left", split, "", "rows without errors", "none")
        for split in sorted(set(rows["split"]) - set(rows["split"][~is_bad]))
    ]


def _make_manifests(rows, splits):
    """File name -> content of all manifests of the splits."""
    from audit.listings import to_csv

    rows = rows.sort_values("ID", kind="stable")
    rows = rows.assign(
        duration=rows["frames"] / rows["sample_rate"],
        sample_rate=rows["sample_rate"].astype(int),
    )
    for column in FILES:
        paths = "$data_root/" + rows[column]
        rows[column] = paths.where(rows[column] != "", "")
    manifests = {}
    for split in splits:
        of_split = rows[rows["split"] == split]
        contents = {}
        for variant, settings in VARIANT_SETTINGS.items():
            if settings not in contents:
                chosen = of_split[of_split["setting"].isin(settings)]
                contents[settings] = to_csv(chosen[MANIFEST_COLUMNS])
            manifests[f"{split}_{variant}.csv"] = contents[settings]
    return manifests


def main(arguments=None):
    """Runs the preparation from the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Default: those of the command line.

    Returns
    -------
    exit_code : int
        0, or 1 if the corpus cannot be used.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = os.environ.get("POLSESS_DATA_ROOT")
    parser.add_argument(
        "--data_folder",
        nargs="+",
        default=default,
        help="corpus folder or folders; default: POLSESS_DATA_ROOT",
    )
    parser.add_argument("--save_folder", required=True)
    parser.add_argument(
        "--splits", nargs="+", choices=list(SUBSETS), default=list(SUBSETS)
    )
    parser.add_argument("--audit", choices=AUDITS, default="quick")
    parser.add_argument("--on_bad_rows", choices=BAD_ROWS, default="error")
    parser.add_argument("--n_jobs", type=int, help="threads that read audio")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        prepare_polsess(**vars(parser.parse_args(arguments)))
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
