"""The model card of an exported model, from what its run left behind.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import Path

import jinja2
from exporting.card_facts import data_text, facts_of, run_folder, trained_variants
from reliability.facts import TASK_NAMES
from variants import num_outputs
from reporting.runs import variants_of_test
from summary import cells, summarise, to_markdown

HEARS = {
    "ES": "one speaker and the background",
    "EB": "two speakers and the background",
    "SB": "two speakers and the background",
}
ESTIMATES = {
    "ES": "the dry speaker",
    "EB": "the sum of the dry speakers",
    "SB": "each dry speaker",
}
NO_LICENCE = "The weights have the licence that their publisher gives them; none was named. "
SOURCES = (
    "The recordings of PolSESS come from sources with licences of their own, some "
    "of which exclude commercial use: see the corpus. The code of SpeechBrain and "
    "of the recipe is licensed under Apache-2.0."
)


def model_card(model, scores, licence, onnx):
    """A README.md as the Hugging Face hub expects it.

    Arguments
    ---------
    model : trained.Trained
        What is exported.
    scores : pd.DataFrame
        test_scores.csv, None for a model that was not tested.
    licence : str
        Of the weights, as the hub names it.
    onnx : bool
        Whether there is a model.onnx.

    Returns
    -------
    str
        Markdown with a head of YAML.
    """
    run = run_folder(model)
    table, values, variants = "", {}, []
    if scores is not None:
        variants = variants_of_test(str(run), scores)
        summary = summarise(scores, variants, model.task)
        table = to_markdown(cells(summary, "mean"))
        means = summary[summary["variant"] == "macro mean"].iloc[0]
        for label in ("si_sdr", "si_sdri"):
            values[label] = round(float(means[f"{label}_mean"]), 2)
        table += "\nMean [95 % confidence interval]; n counts rows.\n"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.jinja").render(
        licence=licence,
        name=f"Conv-TasNet on PolSESS, {model.task}",
        task_name=TASK_NAMES[model.task],
        n_sources=num_outputs(model.task),
        hears=HEARS[model.task],
        estimates=ESTIMATES[model.task],
        sample_rate=model.sample_rate,
        min_samples=model.separator.min_samples,
        onnx=onnx,
        scores=values,
        table=table,
        tested_variants=", ".join(variants),
        variants=trained_variants(model),
        best=best_text(model),
        data=data_text(run, model),
        facts=facts_of(run, model),
        licence_text=licence_text(licence),
    )


def licence_text(licence):
    """What the card says about licences.

    Arguments
    ---------
    licence : str
        Of the weights.

    Returns
    -------
    str
        A paragraph.
    """
    named = f"The weights are published under {licence}. "
    return (NO_LICENCE if licence == "other" else named) + SOURCES


def best_text(model):
    """Which checkpoint a model is.

    Arguments
    ---------
    model : trained.Trained
        With the folder of its checkpoint.

    Returns
    -------
    str
        A sentence.
    """
    meta = model.meta
    if "si_sdri" not in meta:
        return ""
    return (
        f"The weights are those of epoch {meta.get('epoch', 'unknown')}, "
        f"validation SI-SDRi {meta['si_sdri']:.2f} dB."
    )
