"""report.html: one page with the figures and the sound of a test.

The page needs no other file and no network.

Authors
 * The PolSESS recipe team 2026
"""

import os
from dataclasses import dataclass, field

from reporting import media
from reporting import page_tables
import pandas as pd
from reporting import plots
from jinja2 import Environment, FileSystemLoader, StrictUndefined

MAX_BYTES = 15_000_000
KEPT = {"S": "scene", "E": "event", "R": "reverberation", "C": "clean"}


@dataclass
class Example:
    """One mixture of the test, to be heard and seen.

    Arguments
    ---------
    mixture_id : str
        ID of the mixture.
    variant : str
        For instance SER.
    setting : str
        indoor, outdoor or dry.
    rule : str
        Why it was chosen: median or worst.
    scores : dict
        Name to score, for instance "si_sdri s1": 6.1; may be NaN.
    signals : dict
        Name to signal, [time], at the scale and in the order to be played.
    """

    mixture_id: str
    variant: str
    setting: str
    rule: str
    scores: dict
    signals: dict


@dataclass
class PageContent:
    """All that the page shows.

    Arguments
    ---------
    facts : dict
        Name to text, in the order to be shown; the title takes "System" and
        "Task".
    yaml : str
        The resolved YAML.
    summary : pd.DataFrame
        A row for each variant, then the means; variant, setting, n, mixtures,
        and of each score its failures, mean, median, std, ci_low, ci_high.
    scores : pd.DataFrame
        test_scores.csv.
    sample_rate : int
        Of the examples, in Hz.
    strata : pd.DataFrame
        stratum, value, n, mixtures, few, and of each score what summary has.
    caveats : dict
        Stratum to a sentence shown with it.
    curve : pd.DataFrame
        A row for each epoch; of epoch, si_sdri, ci_low, ci_high, train_loss
        what is known.
    examples : list of Example
        In the order to be shown.
    notes : list of str
        What the reader has to know first, for instance failed metrics.
    """

    facts: dict
    yaml: str
    summary: pd.DataFrame
    scores: pd.DataFrame
    sample_rate: int
    strata: pd.DataFrame = field(default_factory=pd.DataFrame)
    caveats: dict = field(default_factory=dict)
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    examples: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def write_page(path, report):
    """Writes the page.

    Where all examples together need more than MAX_BYTES, their sound is
    compressed; where that does not do, some are left out, the second ones of a
    variant first. The page says so.

    Arguments
    ---------
    path : str
        The HTML file.
    report : PageContent
        What it shows.

    Returns
    -------
    int
        Its size in bytes.
    """
    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = page_tables.number
    environment.filters["label"] = page_tables.label
    environment.filters["unit"] = page_tables.unit
    page = environment.get_template("page.html")
    parts = _parts(report)
    parts["compressed"] = False
    shown = _choose(report, page, parts)
    if len(shown) < len(report.examples):
        parts["compressed"] = True
        shown = _choose(report, page, parts)
    left_out = [e for e in report.examples if id(e) not in shown]
    text = page.render(
        parts, examples=list(shown.values()), left_out=left_out
    ).encode("utf-8")
    with open(f"{path}.partial", "wb") as file:
        file.write(text)
    os.replace(f"{path}.partial", path)
    return len(text)


def _parts(report):
    """What the template shows, but for the examples."""
    groups = [
        (row["variant"], row["setting"])
        for row in page_tables.rows_of(report.summary)["rows"]
        if not row["is_mean"]
    ]
    strata = []
    if len(report.strata):
        for name, rows in report.strata.groupby("stratum", sort=False):
            strata.append((name, page_tables.rows_of(rows), plots.strata(rows)))
    return {
        "report": report,
        "table": page_tables.rows_of(report.summary),
        "distribution": plots.distribution(report.scores, groups),
        "scatter": plots.improvement_against_input(report.scores),
        "curves": plots.learning_curves(report.curve),
        "strata": strata,
        "max_strata": plots.MAX_STRATA,
        "kept": KEPT,
        "max_megabytes": MAX_BYTES // 1_000_000,
        "legend": media.legend(),
        "range_db": media.RANGE_DB,
    }


def _choose(report, page, parts):
    """The examples that fit, prepared for the template, by their identity."""
    seen, first, second = set(), [], []
    for example in report.examples:
        group = (example.variant, example.setting)
        (second if group in seen else first).append(example)
        seen.add(group)

    def size(examples):
        """Bytes of the page with these examples."""
        text = page.render(parts, examples=examples, left_out=report.examples)
        return len(text.encode("utf-8"))

    empty = size([])
    free = MAX_BYTES - empty
    chosen = {}
    for example in first + second:
        prepared = media.prepare(
            example, report.sample_rate, parts["compressed"]
        )
        needed = size([prepared]) - empty
        if needed <= free:
            free -= needed
            chosen[id(example)] = prepared
    return {id(e): chosen[id(e)] for e in report.examples if id(e) in chosen}
