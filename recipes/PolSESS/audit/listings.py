"""Lists, logs and reports what an audit of PolSESS found.

Authors
 * The PolSESS recipe team 2026
"""

import pandas as pd

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

SHOWN_PER_CHECK = 5


def list_findings(save_folder, splits, bad_rows, table):
    """Makes audit.csv and excluded.csv, with the former rows of other splits.

    Arguments
    ---------
    save_folder : Path
        Where those of earlier preparations may lie.
    splits : list of str
        That are prepared now.
    bad_rows : pandas.DataFrame
        Rows with errors.
    table : pandas.DataFrame
        All findings.

    Returns
    -------
    contents : dict
        File name -> bytes.
    """
    errors = table[table["severity"] == "error"]
    reasons = errors["check"] + " (" + errors["file"] + ")"
    reasons = reasons.str.replace(" ()", "", regex=False)
    reasons = reasons.groupby(level=0).agg("; ".join)
    excluded = bad_rows[["split", "ID", "metadata", "row"]].assign(
        reason=reasons.reindex(bad_rows.index)
    )
    # Findings about whole corpora have no split: they are made anew, too.
    replaced = [*splits, ""]
    contents = {}
    for name, new in (("audit.csv", table), ("excluded.csv", excluded)):
        try:
            old = pd.read_csv(
                save_folder / name, dtype=str, keep_default_na=False
            )
            new = pd.concat([old[~old["split"].isin(replaced)], new])
        except (OSError, ValueError, KeyError):
            pass  # None yet, or not one of ours: it is written anew.
        contents[name] = to_csv(new.sort_values(list(new.columns)))
    return contents


def to_csv(table):
    """Writes a table as CSV, the same on every system.

    Arguments
    ---------
    table : pandas.DataFrame
        Its index is left out.

    Returns
    -------
    content : bytes
    """
    return table.to_csv(index=False, lineterminator="\n").encode("utf-8")


def log_warnings(table):
    """Logs how many mixtures each warning concerns.

    Arguments
    ---------
    table : pandas.DataFrame
        Findings.
    """
    table = table[table["severity"] == "warning"]
    shared = table["check"].str.startswith("shared")
    table = table.assign(pair=table["expected"].where(shared, ""))
    groups = table.groupby(["check", "split", "pair"], sort=False)
    for (check, split, pair), group in groups:
        what = f"{split}: {check}"
        if pair:
            n_values = group["found"].nunique()
            what += f" with {pair[len('none of ') :]} ({n_values} different)"
        n_rows = group[["metadata", "row"]].drop_duplicates().shape[0]
        logger.warning("%s: %d mixtures, see audit.csv", what, n_rows)


def report(table, path):
    """Writes the message for a table of errors.

    Arguments
    ---------
    table : pandas.DataFrame
        Findings that stop the preparation.
    path : Path
        Where all of them are listed.

    Returns
    -------
    message : str
        The number of each kind and the first five of them.
    """
    lines = [f"errors in the corpus: {len(table)}, all listed in {path}"]
    for check, group in table.groupby("check", sort=False):
        lines.append(f"{check}: {len(group)}")
        for row in group.head(SHOWN_PER_CHECK).itertuples():
            place = f"{row.metadata} row {row.row}: " if row.row else ""
            named = f"mixture {row.ID}" if row.ID else ""
            what = ": ".join(filter(None, (named, row.file)))
            lines.append(
                f"  {place}{what}: expected {row.expected}, found {row.found}"
            )
        if len(group) > SHOWN_PER_CHECK:
            lines.append(f"  ... and {len(group) - SHOWN_PER_CHECK} more")
        lines.append(f"  What to do: {group['action'].iloc[0]}")
    return "\n".join(lines)


def log_totals(rows, excluded):
    """Logs the number of mixtures and hours.

    Arguments
    ---------
    rows : pandas.DataFrame
        Rows that went into the manifests.
    excluded : pandas.DataFrame
        Rows that were left out.
    """
    hours = rows["frames"] / rows["sample_rate"] / 3600
    totals = hours.groupby([rows["split"], rows["setting"]], sort=False)
    for (split, setting), group in totals:
        logger.info(
            "%s %s: %d mixtures, %.2f hours",
            split,
            setting,
            len(group),
            group.sum(),
        )
    if len(excluded):
        logger.warning("%d mixtures left out, see excluded.csv", len(excluded))
