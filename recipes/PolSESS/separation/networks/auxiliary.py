"""The loss of networks that also estimate the sources on their way.

Paper: "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech
Separation", https://arxiv.org/abs/2406.05983.

Authors
 * The PolSESS recipe team 2026
"""

import torch


class AuxiliaryLoss:
    """Weighs the loss of the output and the mean loss of earlier estimates.

    The earlier estimates, ``network.auxiliary``, are taken and removed: their
    graph is freed with the loss. Each has its own permutation. SepReformer's
    authors take the SI-SDR of magnitudes for them, here it is the same loss.

    Arguments
    ---------
    loss : callable
        (estimate, reference, lengths) -> loss of each item, [batch].
    network : torch.nn.Module
        Has a list ``auxiliary`` of estimates, [batch, time, source].
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        Tells the epoch.
    weight : float
        Weight of the earlier estimates, from 0 to 1.
    decay : float
        Factor of the weight at each step of its decay.
    constant_epochs : int
        Epochs with the whole weight; the first step follows.
    step_epochs : int
        Epochs from step to step.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> network = SimpleNamespace(auxiliary=[torch.ones(1), torch.zeros(1)])
    >>> def loss(estimate, reference, lengths):
    ...     return (estimate - reference).abs()
    >>> counter = SimpleNamespace(current=1)
    >>> combined = AuxiliaryLoss(loss, network, counter, weight=0.5)
    >>> combined(torch.full([1], 3.0), torch.zeros(1))  # and 0.5 of 0.5
    tensor([1.7500])
    >>> network.auxiliary
    []
    """

    def __init__(
        self,
        loss,
        network,
        epoch_counter,
        weight=0.4,
        decay=0.8,
        constant_epochs=100,
        step_epochs=5,
    ):
        self.loss, self.network = loss, network
        self.epoch_counter = epoch_counter
        self.weight, self.decay = weight, decay
        self.constant_epochs, self.step_epochs = constant_epochs, step_epochs

    def __call__(self, estimate, reference, lengths=None):
        """Returns the loss of each item, [batch].

        The plain loss if the network has no earlier estimates.
        """
        earlier, self.network.auxiliary = self.network.auxiliary, []
        loss = self.loss(estimate, reference, lengths)
        if not earlier:
            return loss
        losses = [self.loss(item, reference, lengths) for item in earlier]
        return torch.lerp(
            loss, torch.stack(losses).mean(0), self.current_weight
        )

    @property
    def current_weight(self):
        """Weight of the earlier estimates in the current epoch."""
        late = self.epoch_counter.current - self.constant_epochs - 1
        steps = max(0, 1 + late // self.step_epochs)
        return self.weight * self.decay**steps
