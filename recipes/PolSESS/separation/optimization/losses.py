"""Losses by name, all with the best permutation of sources.

* si_sdr: negative SI-SDR, the default
* thresholded_si_sdr: the same without the items that are better than 30 dB
* snr: negative SNR, for which the level of an estimate counts
* si_sdr_stft: negative SI-SDR plus a distance of magnitude spectra at three
  resolutions, which settles the level

Multi-resolution STFT: R. Yamamoto, E. Song, J.-M. Kim, "Parallel WaveGAN: a
fast waveform generation model based on generative adversarial networks with
multi-resolution spectrogram", ICASSP 2020.

Authors
 * The PolSESS recipe team 2026
"""

import difflib

import torch
from losses import BOUND, TINY, best_permutation, pairwise_si_sdr, si_sdr_loss

from speechbrain.dataio.dataio import length_to_mask

THRESHOLD_DB = -30.0  # of SpeechBrain's separation recipes
FFT_SIZES = (256, 512, 1024)  # samples; windows overlap by three quarters
# Below it bins count as silent, for the logarithm: about -100 dB.
LOWEST_POWER = 1e-10


def find_loss(name):
    """Finds a loss by its name.

    Raises ValueError for an unknown name.

    Arguments
    ---------
    name : str
        One of LOSSES.

    Returns
    -------
    callable
        (estimate, reference, lengths) -> loss of each item, [batch]; lower is
        better. Signals are [batch, time, source], lengths as in
        ``losses.pairwise_si_sdr``.

    Example
    -------
    >>> find_loss("si_sdr") is si_sdr_loss
    True
    """
    if str(name) not in LOSSES:  # a list cannot be looked up
        near = difflib.get_close_matches(str(name), LOSSES, 1, 0)
        raise ValueError(
            f"loss_name: expected one of {', '.join(LOSSES)}, found {name!r}; "
            f"is {near[0]} meant?"
        )
    return LOSSES[name]


def thresholded_si_sdr_loss(estimate, reference, lengths=None):
    """Negative SI-SDR of the items that are not yet better than 30 dB.

    The mean over the batch is that of these items alone, as in SpeechBrain's
    recipes; without any it is 0 and has no gradient. Arguments and result are
    those of ``find_loss``.
    """
    loss = si_sdr_loss(estimate, reference, lengths)
    kept = ~(loss <= THRESHOLD_DB)  # NaN is kept: it must not vanish
    return loss * kept * (len(loss) / kept.sum().clamp(min=1))


def pairwise_snr(estimate, reference, lengths=None):
    """SNR between every estimate and every reference, within +-100 dB.

    Computed in float32. Arguments are those of ``losses.pairwise_si_sdr``.

    Returns
    -------
    torch.Tensor
        SNR in dB, [batch, estimate, reference].

    Example
    -------
    >>> reference = torch.ones(1, 4, 1)
    >>> pairwise_snr(0.9 * reference, reference).round()
    tensor([[[20.]]])
    """
    with torch.autocast(estimate.device.type, enabled=False):
        mask = _mask(estimate, lengths)
        estimate = (estimate.float() * mask).unsqueeze(3)
        reference = (reference.float() * mask).unsqueeze(2)
        signal = reference.square().sum(1)
        error = (reference - estimate).square().sum(1)
        bound = BOUND * (signal + estimate.square().sum(1)) + TINY
        return 10 * torch.log10((signal + bound) / (error + bound))


def snr_loss(estimate, reference, lengths=None):
    """Negative SNR; arguments and result are those of ``find_loss``."""
    scores = pairwise_snr(estimate, reference, lengths)
    return -best_permutation(scores)[0].mean(-1)


def si_sdr_stft_loss(estimate, reference, lengths=None):
    """Negative SI-SDR plus ``stft_distance``.

    SI-SDR says nothing about the level, so that the second term decides it
    whatever its weight, which is 1. The permutation is that of SI-SDR.
    Arguments and result are those of ``find_loss``.
    """
    scores, order = best_permutation(
        pairwise_si_sdr(estimate, reference, lengths)
    )
    order = order.unsqueeze(1).expand_as(reference)
    distance = stft_distance(estimate.gather(2, order), reference, lengths)
    return -scores.mean(-1) + distance


def stft_distance(estimate, reference, lengths=None):
    """Distance of magnitude spectra, a mean over resolutions and sources.

    At each resolution it is the spectral convergence, the norm of the
    difference over that of the reference, plus the mean difference of natural
    logarithms. A silent reference has no distance. Computed in float32.

    Arguments
    ---------
    estimate, reference : torch.Tensor
        [batch, time, source], in the same order.
    lengths : torch.Tensor
        See ``losses.pairwise_si_sdr``.

    Returns
    -------
    torch.Tensor
        [batch].

    Example
    -------
    >>> reference = torch.arange(8000.0).square().sin().reshape(1, -1, 1)
    >>> distance = stft_distance(2 * reference, reference)
    >>> round(distance.item(), 2)  # 1 + log(2)
    1.69
    """
    with torch.autocast(estimate.device.type, enabled=False):
        mask = _mask(estimate, lengths)
        # [batch * source, time]
        estimate, reference = (
            (signal.float() * mask).transpose(1, 2).flatten(0, 1)
            for signal in (estimate, reference)
        )
        samples = mask.sum(1).expand(-1, len(estimate) // len(mask)).flatten()
        distance = sum(
            _distance_at(size, estimate, reference, samples)
            for size in FFT_SIZES
        ) / len(FFT_SIZES)
        distance = torch.where(reference.any(1), distance, 0.0)
        return distance.reshape(len(mask), -1).mean(1)


def _distance_at(size, estimate, reference, samples):
    """The distance at one resolution, [signal]."""
    hop = size // 4
    window = torch.hann_window(size, device=estimate.device)

    def magnitudes(signal):
        spectrum = torch.stft(
            signal,
            size,
            hop,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return power.clamp(min=LOWEST_POWER).sqrt()

    estimate, reference = magnitudes(estimate), magnitudes(reference)
    # Frames whose centre is padding do not count; [signal, 1, frame]
    centres = hop * torch.arange(estimate.shape[-1], device=estimate.device)
    valid = (centres < samples[:, None]).unsqueeze(1)
    difference = ((estimate - reference) * valid).square().sum((1, 2)) + TINY
    norm = (reference * valid).square().sum((1, 2))
    # A root of the quotient could underflow, and its gradient be NaN.
    convergence = difference.sqrt() / norm.sqrt()
    logarithms = ((estimate / reference).log().abs() * valid).sum((1, 2))
    return convergence + logarithms / (valid.sum((1, 2)) * estimate.shape[1])


def _mask(signal, lengths):
    """Marks the valid samples, [batch, time, 1]."""
    time = signal.shape[1]
    if lengths is None:
        lengths = torch.ones(len(signal), device=signal.device)
    samples = (lengths * time).round()
    return length_to_mask(samples, time, dtype=torch.float32).unsqueeze(-1)


LOSSES = {
    "si_sdr": si_sdr_loss,
    "thresholded_si_sdr": thresholded_si_sdr_loss,
    "snr": snr_loss,
    "si_sdr_stft": si_sdr_stft_loss,
}
