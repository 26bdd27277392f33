"""report.html: one page with the figures and the sound of a test.

The page needs no other file and no network.

Authors
 * The PolSESS recipe team 2026
"""

import os

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from summary import score_names

from reporting import media
from reporting.tables import number, write_texts

# Names of the known scores; another one shows its column's name.
SCORES = {"si_sdri": "SI-SDRi", "si_sdr": "SI-SDR"}
SCORES.update({name: name.upper() for name in ("sdr", "pesq", "stoi", "estoi")})


def write_page(path, summary, scores, strata, curve, **texts):
    """Writes the page, complete or not at all.

    Arguments
    ---------
    path : str or Path
        The HTML file.
    summary : pd.DataFrame
        The result of ``summary.summarise``.
    scores : pd.DataFrame
        test_scores.csv.
    strata : pd.DataFrame
        The result of ``tables.stratify``.
    curve : pd.DataFrame
        The result of ``runs.read_curve``.
    **texts : dict
        facts (name -> text, in the order to be shown; "System" and "Task" are
        in the title), yaml (text), notes (list of texts to be read first),
        examples (the result of ``examples.make_examples``) and no_examples (the
        reason why there are none).
    """
    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, label=_label)
    metrics = [n for n in score_names(summary) if not n.endswith("_mix")]
    metrics.sort(key=lambda name: name != "si_sdri")
    is_mean = summary["variant"].str.endswith(" mean")
    text = environment.get_template("page.html").render(
        **texts,
        metrics=metrics,
        variants=summary[~is_mean].to_dict("records"),
        means=summary[is_mean].to_dict("records"),
        strata={
            name: rows.to_dict("records")
            for name, rows in strata.groupby("stratum", sort=False)
        },
        plots=media.plots(scores, curve),
        range_db=media.RANGE_DB,
    )
    folder, name = os.path.split(path)
    write_texts({name: text}, folder)


def _label(name):
    """A column of scores, which a source may follow, for readers."""
    score, *source = name.split(" ")
    return " ".join([SCORES.get(score, score.replace("_", " ")), *source])
