"""Examples to hear: chosen by their scores, estimated again.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from losses import best_permutation, pairwise_si_sdr
from mixtures import Mixer, load_mixtures, one_row_per_variant
from prepare_polsess import data_root
from scoring import utterances_of
from summary import score_names, variant_strata
from variants import VARIANTS, source_names

from reporting.media import sound_and_picture
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
        ranked = means.sort_values(kind="stable").index
        places = {"median": len(ranked) // 2, "worst": 0}
        for rule, place in list(places.items())[: len(ranked)]:
            chosen.append((ranked[place], rows["variant"].iloc[0], rule))
    return chosen


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
    list of dict
        For each of ``choose_examples``: mixture_id, variant, setting, rule,
        scores (name and source -> number) and ``media.sound_and_picture``.
    """
    variants = list(scores["variant"].unique())
    rate = trained.sample_rate
    root = data_root(data_folder)
    mixtures = load_mixtures(save_folder, "test", variants, root, rate)
    mixer = Mixer(trained.task, variants, 0, rate)
    examples = []
    for mixture_id, variant, rule in choose_examples(scores):
        if mixture_id not in mixtures:
            raise ValueError(
                f"{save_folder}: the manifests lack the mixture {mixture_id}; "
                "they are of another corpus"
            )
        # One mixture, so that the first rank has it where ranks take shares.
        one = {mixture_id: {**mixtures[mixture_id], "variants": [variant]}}
        (row,) = one_row_per_variant(one).values()
        is_its = scores["ID"].eq(mixture_id) & scores["variant"].eq(variant)
        signals = _estimate(row, mixer, trained.separator)
        examples.append(
            {
                "mixture_id": mixture_id,
                "variant": variant,
                "setting": row["setting"],
                "rule": rule,
                "scores": _scores_by_source(scores[is_its]),
                **sound_and_picture(signals, rate),
            }
        )
    return examples


@torch.inference_mode()
def _estimate(row, mixer, separator):
    """The signals of a mixture, mixed and separated as in the test."""
    made = mixer(*(row[name] for name in mixer.takes))
    item = {name: row[name] for name in ("mixture_id", "setting", "save_audio")}
    batch = PaddedBatch([{**item, **dict(zip(mixer.provides, made))}])
    estimate = separator(batch.mix_sig.data)
    reference, lengths = batch.sources_sig
    pairs = pairwise_si_sdr(estimate, reference, lengths)
    order = best_permutation(pairs)[1]
    sources = source_names(mixer.task)
    return utterances_of(batch, estimate, order, sources)[0].signals()


def _scores_by_source(rows):
    """The scores of the estimates, for instance "si_sdri s1" -> 6.1."""
    names = [n for n in score_names(rows) if not n.endswith("_mix")]
    return {
        f"{name} {row['source']}": row[name]
        for row in rows.to_dict("records")
        for name in names
    }
