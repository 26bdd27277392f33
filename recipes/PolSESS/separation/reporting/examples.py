"""Examples to hear: chosen by their scores, estimated again.

Authors
 * The PolSESS recipe team 2026
"""

import os
from pathlib import Path

import torch
from inference.trained import load_trained
from losses import best_permutation, pairwise_si_sdr
from mixtures import Mixer, load_mixtures, one_row_per_variant
from prepare_polsess import data_root
from scoring import utterances_of
from summary import score_names, variant_strata
from variants import VARIANTS, source_names

from reporting.facts import last_start
from reporting.page import Example
from speechbrain.dataio.batch import PaddedBatch


def choose_examples(scores):
    """Chooses for each variant a median and the worst mixture, by SI-SDRi.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.

    Returns
    -------
    list of tuple
        (ID, variant, rule), at most 18, the variants in the order of the
        tables. The mean over the sources counts; a mixture without SI-SDRi is
        not chosen.

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


def load_tested(run, save_folder, settings):
    """Loads the model that a run tested.

    Raises ValueError where it is gone or damaged.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.
    save_folder : str
        Folder of its checkpoints.
    settings : dict
        The YAML's plain values.

    Returns
    -------
    inference.trained.Trained
        The best epoch of the run, or the model that ``init_from`` names where
        the run has no checkpoint.
    """
    model = settings.get("init_from")
    if model and not list(Path(save_folder).glob("CKPT*")):
        return load_trained(_from_start(run, model))
    return load_trained(save_folder)


def _from_start(run, path):
    """A path as the command that started the run meant it."""
    return os.path.join(last_start(run).get("folder", ""), path)


def corpus_of(run, settings):
    """Finds the corpus of a run.

    Raises ValueError where the YAML names none.

    Arguments
    ---------
    run : str
        Output folder of the run.
    settings : dict
        The YAML's plain values.

    Returns
    -------
    list of str
        The folders of data_folder, or the one of POLSESS_DATA_ROOT.
    """
    found = settings.get("data_folder", os.environ.get("POLSESS_DATA_ROOT"))
    if not found:
        raise ValueError("expected a data_folder in the run's YAML, found none")
    folders = [found] if isinstance(found, str) else found
    return [_from_start(run, str(folder)) for folder in folders]


def make_examples(scores, save_folder, data_folder, trained):
    """Estimates the examples of a test once more, on the CPU.

    Raises ValueError where the corpus is gone, or is not the tested one.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    save_folder : str
        Folder of the manifests.
    data_folder : str or list of str
        The corpus.
    trained : inference.trained.Trained
        The tested model.

    Returns
    -------
    list of page.Example
        See ``choose_examples``.
    """
    variants = list(scores["variant"].unique())
    mixtures = load_mixtures(
        save_folder,
        "test",
        variants,
        data_root(data_folder),
        trained.sample_rate,
    )
    mixer = Mixer(trained.task, variants, 0, trained.sample_rate)
    examples = []
    for mixture_id, variant, rule in choose_examples(scores):
        if mixture_id not in mixtures:
            raise ValueError(
                f"{save_folder}: expected the mixture {mixture_id} in the test "
                "manifests, found none; they are of another corpus"
            )
        # One mixture, so that the first rank has it where ranks take shares.
        one = {mixture_id: {**mixtures[mixture_id], "variants": [variant]}}
        (row,) = one_row_per_variant(one).values()
        utterance = _estimate(row, mixer, trained.separator)
        examples.append(_example(scores, utterance, rule, mixer.sample_rate))
    return examples


@torch.inference_mode()
def _estimate(row, mixer, separator):
    """Mixes and separates a mixture, as the test did."""
    made = mixer(*(row[name] for name in mixer.takes))
    item = {name: row[name] for name in ("mixture_id", "setting", "save_audio")}
    batch = PaddedBatch([{**item, **dict(zip(mixer.provides, made))}])
    estimate = separator(batch.mix_sig.data)
    reference, lengths = batch.sources_sig
    pairs = pairwise_si_sdr(estimate, reference, lengths)
    order = best_permutation(pairs)[1]
    sources = source_names(mixer.task)
    return utterances_of(batch, estimate, order, sources)[0]


def _example(scores, utterance, rule, sample_rate):
    """An utterance with its scores."""
    labels = utterance.labels
    is_its = scores["ID"].eq(labels["ID"])
    is_its &= scores["variant"].eq(labels["variant"])
    rows = scores[is_its].set_index("source")
    names = [n for n in score_names(scores) if not n.endswith("_mix")]
    return Example(
        mixture_id=labels["ID"],
        variant=labels["variant"],
        setting=labels["setting"],
        rule=rule,
        scores={
            f"{name} {source}": rows.loc[source, name]
            for source in utterance.sources
            for name in names
        },
        signals=utterance.signals(),
        sample_rate=sample_rate,
    )
