"""One utterance of the test: its estimates beside what they are compared with.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass

import numpy as np
from losses import best_permutation, pairwise_si_sdr


@dataclass
class Utterance:
    """The signals of one mixture in one variant, without padding.

    Arguments
    ---------
    labels : dict
        ID, variant and setting.
    sources : list of str
        Names of the sources.
    estimate : np.ndarray
        In the order of the references, at the scale that the model gave them,
        [time, source].
    reference : np.ndarray
        [time, source].
    mixture : np.ndarray
        [time].
    """

    labels: dict
    sources: list
    estimate: np.ndarray
    reference: np.ndarray
    mixture: np.ndarray

    def scaled(self):
        """The estimates at the level of the references.

        Training with SI-SDR leaves the scale, and the sign, of an estimate
        free. Here each is multiplied by the factor that brings it closest to
        its reference in the least-squares sense, which is the projection of
        the reference onto it.

        Returns
        -------
        np.ndarray
            [time, source]; a silent or non-finite estimate as it is.

        Example
        -------
        >>> reference = np.array([[0.5], [-0.5], [0.1]])
        >>> utterance = Utterance({}, ["s1"], -7 * reference, reference, None)
        >>> utterance.scaled().round(3).ravel().tolist()
        [0.5, -0.5, 0.1]
        """
        # In double precision: the scale of a model may be anything.
        scaled = self.estimate.astype(np.float64)
        for signal, reference in zip(scaled.T, self.reference.T):
            energy = signal @ signal
            if np.isfinite(signal).all() and energy > 0:
                signal *= (signal @ reference) / energy
        return scaled.astype(self.estimate.dtype)

    def signals(self):
        """What one listens to, in the order in which it is shown.

        Returns
        -------
        dict
            Name -> [time]: the mixture, each estimate at the level of its
            reference, each reference. What is not finite is silence.

        Example
        -------
        >>> one = np.ones((4, 1))
        >>> list(Utterance({}, ["s1"], one, one, one[:, 0]).signals())
        ['mixture', 'estimate s1', 'reference s1']
        """
        estimates = zip(self.sources, self.scaled().T)
        references = zip(self.sources, self.reference.T)
        return {
            "mixture": self.mixture,
            **{
                f"estimate {name}": np.nan_to_num(signal, posinf=0, neginf=0)
                for name, signal in estimates
            },
            **{f"reference {name}": signal for name, signal in references},
        }


def utterances_of(batch, estimate, sources):
    """Cuts a batch into its utterances.

    Arguments
    ---------
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id, variant, setting, mix_sig and sources_sig.
    estimate : torch.Tensor
        What the model gave, in any order, [batch, time, source].
    sources : list of str
        Names of the sources.

    Returns
    -------
    list of Utterance
        Each at its own length, the estimates in the order of the references.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    scores = pairwise_si_sdr(estimate, reference, lengths)
    _, order = best_permutation(scores)
    order = order.unsqueeze(1).expand_as(estimate)
    estimate = estimate.float().gather(-1, order)
    samples = (lengths * mixture.shape[1]).round().long().tolist()
    return [
        Utterance(
            labels={
                "ID": batch.mixture_id[number],
                "variant": batch.variant[number],
                "setting": batch.setting[number],
            },
            sources=sources,
            estimate=estimate[number, :length].cpu().numpy(),
            reference=reference[number, :length].cpu().numpy(),
            mixture=mixture[number, :length].cpu().numpy(),
        )
        for number, length in enumerate(samples)
    ]
