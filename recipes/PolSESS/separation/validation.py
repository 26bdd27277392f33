"""What a validation keeps, shows and logs.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import torch
from intervals import mean_intervals
from losses import pairwise_si_sdr
from mmipc import VARIANTS
from tables import variant_strata

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

FEW = 50  # mixtures; a mean over fewer is a poor guide to the best epoch


def validation_rows(batch, score):
    """The SI-SDRi of a batch.

    Arguments
    ---------
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id, variant, setting, mix_sig and sources_sig.
    score : torch.Tensor
        SI-SDR of the estimates in dB, [batch, source].

    Returns
    -------
    list of dict
        ID, variant, setting, si_sdri (dB) and silent of each source: against
        a silent reference no score is defined, and it is NaN.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    baseline = pairwise_si_sdr(mixture.unsqueeze(-1), reference, lengths)
    silent = reference.abs().amax(1) == 0
    si_sdri = (score - baseline[:, 0]).masked_fill(silent, torch.nan)
    return [
        {
            "ID": batch.mixture_id[number],
            "variant": batch.variant[number],
            "setting": batch.setting[number],
            "si_sdri": value,
            "silent": is_silent,
        }
        for number, pairs in enumerate(
            zip(si_sdri.cpu().tolist(), silent.cpu().tolist())
        )
        for value, is_silent in zip(*pairs)
    ]


def in_order(scores):
    """The scores of a test, in an order that no number of processes changes.

    Arguments
    ---------
    scores : pd.DataFrame
        With ID, variant and source.

    Returns
    -------
    pd.DataFrame
        By ID, then as in VARIANTS, then by source.

    Example
    -------
    >>> scores = pd.DataFrame(
    ...     {"ID": ["b", "a"], "variant": "S", "source": "s1"}
    ... )
    >>> in_order(scores)["ID"].tolist()
    ['a', 'b']
    """
    if scores.empty:
        return scores
    order = scores["variant"].map(VARIANTS.index)
    return (
        scores.assign(order=order)
        .sort_values(["ID", "order", "source"], ignore_index=True)
        .drop(columns="order")
    )


def validation_stats(rows):
    """The figures of a validation.

    Arguments
    ---------
    rows : list of dict
        What ``validation_rows`` returned.

    Returns
    -------
    stats : dict
        SI-SDRi, the macro mean in dB, its interval, n and failures. The mean
        leaves silent references out; it is NaN if another score is not finite,
        since that of fewer mixtures does not compare with other epochs.
    by_variant : dict
        SI-SDRi/<variant> -> mean in dB.
    """
    rows = pd.DataFrame(rows)
    # A model that diverges gives infinities, too.
    finite = np.isfinite(rows["si_sdri"])
    rows["si_sdri"] = rows["si_sdri"].where(finite)
    strata = variant_strata(rows)
    interval = mean_intervals(rows, ["si_sdri"], strata).loc["si_sdri"]
    stats = {
        "SI-SDRi": float(interval["mean"])
        if (finite | rows["silent"]).all()
        else np.nan,
        "ci_low": float(interval["ci_low"]),
        "ci_high": float(interval["ci_high"]),
        "n": len(rows),
        "mixtures": rows["ID"].nunique(),
        "failures": int(rows["si_sdri"].isna().sum()),
    }
    means = rows.groupby(strata)["si_sdri"].mean().dropna()
    return stats, means.add_prefix("SI-SDRi/").to_dict()


def warn_of_few_mixtures(stats):
    """Says how well the mean of a small validation set is known.

    Arguments
    ---------
    stats : dict
        What ``validation_stats`` returned.

    Returns
    -------
    bool
        Whether there was something to say.
    """
    if stats["mixtures"] >= FEW:
        return False
    known = (
        f"is known to lie between {stats['ci_low']:.2f} and "
        f"{stats['ci_high']:.2f} dB (95 %), so the best epoch is partly chance"
    )
    if not np.isfinite(stats["ci_low"]):
        known = "says little, since some variant has a single mixture"
    count = stats["mixtures"]
    logger.warning(
        f"validation has only {count} mixture{'s' * (count != 1)}: its mean "
        f"SI-SDRi, {stats['SI-SDRi']:.2f} dB, {known}"
    )
    return True


def readable(stats):
    """Numbers as a person writes them, for the text log.

    Arguments
    ---------
    stats : dict
        Name -> number.

    Returns
    -------
    dict
        Floats as texts with two decimals.

    Example
    -------
    >>> readable({"n": 8, "loss": -12.345})
    {'n': 8, 'loss': '-12.35'}
    """
    return {
        name: f"{value:.2f}" if isinstance(value, float) else value
        for name, value in stats.items()
    }


def show_clips(boards, batch, cut, epoch):
    """Shows the utterances of a batch that the boards follow.

    Arguments
    ---------
    boards : boards.Boards
        Where to show them.
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id and variant.
    cut : callable
        () -> list of Utterance; called only if one is wanted.
    epoch : int
        Its number.
    """
    names = zip(batch.mixture_id, batch.variant)
    wanted = [boards.wants(*name, epoch) for name in names]
    if any(wanted):
        for utterance, is_wanted in zip(cut(), wanted):
            if is_wanted:
                boards.log_clip(utterance.labels, utterance.signals(), epoch)
