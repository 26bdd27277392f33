"""Losses in the time domain: negative SI-SDR, with the best permutation.

SpeechBrain's ``get_si_snr_with_pitwrapper`` ignores the lengths of padded
signals, writes into the caller's tensor and loops over permutations in Python.
Here lengths count, nothing is modified and all permutations are one product.

SI-SDR: J. Le Roux, S. Wisdom, H. Erdogan, J. Hershey, "SDR - half-baked or
well done?", ICASSP 2019. PIT: M. Kolbaek, D. Yu, Z.-H. Tan, J. Jensen,
"Multi-talker speech separation with utterance-level permutation invariant
training of deep recurrent neural networks", TASLP 2017.

Authors
 * The PolSESS recipe team 2026
"""

import itertools

import torch

from speechbrain.dataio.dataio import length_to_mask

# SI-SDR is bounded to +-100 dB, relative to the energy of the estimate, so that
# the loss stays scale-invariant. A silent reference then has no gradient.
BOUND = 1e-10
TINY = 1e-30  # keeps 0 / 0 away where signals are silent


def pairwise_si_sdr(estimate, reference, lengths=None):
    """Zero-mean SI-SDR between every estimate and every reference.

    Computed in float32 whatever the precision of the arguments and of autocast.

    Arguments
    ---------
    estimate, reference : torch.Tensor
        [batch, time, source].
    lengths : torch.Tensor
        Valid part of each item relative to the longest, [batch], in (0, 1];
        what comes after has no influence. None: all is valid.

    Returns
    -------
    torch.Tensor
        SI-SDR in dB, [batch, estimate, reference].

    Example
    -------
    >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 4, 1)
    >>> error = torch.tensor([1.0, 1.0, -1.0, -1.0]).reshape(1, 4, 1)
    >>> pairwise_si_sdr(5 * reference + 0.5 * error, reference).round()
    tensor([[[20.]]])
    """
    with torch.autocast(estimate.device.type, enabled=False):
        estimate, reference = estimate.float(), reference.float()
        time = estimate.shape[1]
        if lengths is None:
            lengths = estimate.new_ones(len(estimate))
        samples = (lengths * time).round()
        mask = length_to_mask(samples, time, dtype=estimate.dtype).unsqueeze(-1)
        samples = samples.reshape(-1, 1, 1)

        # [batch, time, estimate, 1] against [batch, time, 1, reference]
        estimate = _zero_mean(estimate, mask, samples).unsqueeze(3)
        reference = _zero_mean(reference, mask, samples).unsqueeze(2)
        scale = (estimate * reference).sum(1, keepdim=True) / (
            reference.square().sum(1, keepdim=True) + TINY
        )
        target = scale * reference
        error = estimate - target
        bound = BOUND * estimate.square().sum(1)
        # The two constants only matter to a silent estimate: it has -100 dB.
        return 10 * torch.log10(
            (target.square().sum(1) + bound + TINY)
            / (error.square().sum(1) + bound + TINY / BOUND)
        )


def _zero_mean(signal, mask, samples):
    """Subtracts the mean of the valid part and silences the padding."""
    mean = (signal * mask).sum(1, keepdim=True) / samples
    return (signal - mean) * mask


def best_permutation(scores):
    """Assigns estimates to references with the highest mean score.

    Raises ValueError when their numbers differ.

    Arguments
    ---------
    scores : torch.Tensor
        Higher is better, [batch, estimate, reference].

    Returns
    -------
    score, order : torch.Tensor
        Score of each reference under the best assignment, and which estimate
        belongs to it, [batch, source].

    Example
    -------
    >>> scores = torch.tensor([[[1.0, 9.0], [7.0, 2.0]]])
    >>> best_permutation(scores)
    (tensor([[7., 9.]]), tensor([[1, 0]]))
    """
    estimates, sources = scores.shape[1:]
    if estimates != sources:
        raise ValueError(
            f"expected estimates of {sources} sources, found {estimates}; "
            "num_spks follows from the task, leave it out"
        )
    orders = torch.tensor(
        list(itertools.permutations(range(sources))), device=scores.device
    )
    # [batch, permutation, source]
    assigned = scores[:, orders, torch.arange(sources, device=scores.device)]
    # An estimate that is not a number must not decide about the others.
    best = assigned.nan_to_num(nan=-1e4).mean(-1).argmax(-1)
    rows = torch.arange(len(scores), device=scores.device)
    return assigned[rows, best], orders[best]


def si_sdr_loss(estimate, reference, lengths=None):
    """Negative SI-SDR, mean over sources, under the best permutation.

    Takes the arguments of ``pairwise_si_sdr``; returns the loss of each item in
    dB, lower is better, [batch].
    """
    scores = pairwise_si_sdr(estimate, reference, lengths)
    return -best_permutation(scores)[0].mean(-1)
