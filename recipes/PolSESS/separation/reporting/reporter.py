"""The report of a test stage: tables, a page, warnings.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import os

from variants import VARIANTS
from reporting.page import Example, PageContent, write_page
from reporting.report import make_tables, to_csv, write_tables
from reporting.runs import read_curve
from reporting.strata import CAVEATS
from summary import cells, score_names, to_markdown, variant_strata

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

WRITTEN = (
    "test_summary.md",
    "test_summary.csv",
    "test_summary.tex",
    "test_strata.csv",
    "test_strata.md",
    "report.html",
)


def choose_examples(scores):
    """For each variant a median and the worst mixture, by SI-SDRi.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.

    Returns
    -------
    list of tuple
        (ID, variant, rule), the variants in the order of the tables. The mean
        over the sources counts; a mixture without SI-SDRi is not chosen.

    Example
    -------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"ID": list("abc"), "variant": "S"})
    >>> scores[["setting", "si_sdri"]] = "outdoor", 0
    >>> scores["si_sdri"] = [3.0, 1.0, 2.0]
    >>> choose_examples(scores)
    [('c', 'S', 'median'), ('b', 'S', 'worst')]
    """
    chosen = []
    order = scores["variant"].map(VARIANTS.index)
    for _, rows in scores.groupby([order, variant_strata(scores)]):
        means = rows.groupby("ID")["si_sdri"].mean().dropna()
        if means.empty:
            continue
        ranked = means.sort_values(kind="stable")
        variant = rows["variant"].iloc[0]
        chosen.append((ranked.index[len(ranked) // 2], variant, "median"))
        if len(ranked) > 1:
            chosen.append((ranked.index[0], variant, "worst"))
    return chosen


def notes_on(scores, summary):
    """What a reader has to know before the figures.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    summary : pd.DataFrame
        What ``tables.summarise`` returns.

    Returns
    -------
    list of str
        Failed scores, and variants that no mixture has.
    """
    notes = []
    for name in score_names(scores):
        failures = int(scores[name].isna().sum())
        if failures and name != "si_sdri":
            notes.append(
                f"{failures} of {len(scores)} rows have no {name}: they are "
                "counted as failures and are no part of its mean; log.txt "
                "names them"
            )
    empty = summary.loc[summary["n"] == 0, "variant"]
    if len(empty):
        notes.append(f"no test mixture has the variant {', '.join(empty)}")
    return notes


class Reporter:
    """Writes the report of a test.

    Arguments
    ---------
    task : str
        ES, EB or SB.
    variants : list of str
        The variants that are to be tested.
    output_folder : str
        Where to write.
    save_folder : str
        Folder of the manifests.
    sample_rate : int
        In Hz.
    strata : list of str
        What to stratify by, see ``strata.strata_of``.
    latex : bool
        Whether to write the summary as a LaTeX table too.
    """

    def __init__(
        self,
        task,
        variants,
        output_folder,
        save_folder,
        sample_rate,
        strata=(),
        latex=False,
    ):
        self.task = task
        self.variants = variants
        self.output_folder = output_folder
        self.save_folder = save_folder
        self.sample_rate = sample_rate
        self.strata = strata
        self.latex = latex

    def write(self, scores, facts, listen):
        """Writes test_scores.csv, the tables and report.html.

        Where test_summary.md stands, all is complete: it comes last.

        Arguments
        ---------
        scores : pd.DataFrame
            One row per (mixture, variant, source).
        facts : dict
            See ``facts.run_facts``.
        listen : callable
            (mixture ID, variant) -> Utterance, to make the examples.
        """
        # As the file has them: report.py then makes the same tables again.
        scores = scores.round(6)
        # Nothing of an earlier test stays beside the scores of this one, which
        # are safe before anything else can go wrong.
        for name in WRITTEN:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.output_folder, name))
        write_tables({"test_scores.csv": to_csv(scores)}, self.output_folder)
        summary, strata, texts = make_tables(
            scores,
            self.variants,
            self.task,
            self.strata,
            self.save_folder,
            self.latex,
        )
        last = {"test_summary.md": texts.pop("test_summary.md")}
        write_tables(texts, self.output_folder)
        notes = notes_on(scores, summary)
        content = PageContent(
            facts=facts,
            yaml=self._read("hyperparams.yaml"),
            summary=summary,
            scores=scores,
            sample_rate=self.sample_rate,
            strata=strata,
            caveats={n: CAVEATS[n] for n in self.strata if n in CAVEATS},
            curve=read_curve(os.path.join(self.output_folder, "train_log.txt")),
            examples=[
                self._example(scores, listen(mixture, variant), rule)
                for mixture, variant, rule in choose_examples(scores)
            ],
            notes=notes,
        )
        write_page(os.path.join(self.output_folder, "report.html"), content)
        write_tables(last, self.output_folder)
        table = to_markdown(cells(summary, "mean"))
        logger.info(f"Test of {len(scores)} rows:\n{table}")
        for note in notes:
            logger.warning(note)

    def _read(self, name):
        path = os.path.join(self.output_folder, name)
        if not os.path.isfile(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()

    def _example(self, scores, utterance, rule):
        labels = utterance.labels
        rows = scores[
            (scores["ID"] == labels["ID"])
            & (scores["variant"] == labels["variant"])
        ].set_index("source")
        found = {
            f"{name} {source}": rows.loc[source, name]
            for source in utterance.sources
            for name in score_names(scores)
            if not name.endswith("_mix")
        }
        return Example(
            mixture_id=labels["ID"],
            variant=labels["variant"],
            setting=labels["setting"],
            rule=rule,
            scores=found,
            signals=utterance.signals(),
        )
