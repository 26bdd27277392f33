"""What ``benchmark.py`` measures: systems and their steps.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from benchmark_networks import make_network
from losses import si_sdr_loss
from memory import is_out_of_memory

PRECISIONS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
IMPLEMENTATIONS = ("stock", "ours", "torchaudio")
MAX_GRAD_NORM = 5.0


class System:
    """A network in one precision, with its optimizer.

    Raises ValueError when the name is none.

    Arguments
    ---------
    name : str
        Implementation, precision, and compiled where it is, for instance
        stock_fp32 or ours_bf16_compiled.
    size : benchmark_work.Size
        Of the network.
    outputs : int
        Number of sources.
    device : str
        Where it runs.

    Example
    -------
    >>> from benchmark_work import Size
    >>> system = System("ours_fp32", Size(N=4, B=4, H=4, X=1, R=1), 2, "cpu")
    >>> system.infer(torch.randn(3, 400)).shape
    torch.Size([3, 400, 2])
    """

    def __init__(self, name, size, outputs, device):
        self.implementation, self.precision, self.compiled = parse(name)
        self.device = device
        torch.manual_seed(1234)
        network = make_network(self.implementation, size, outputs).to(device)
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=0.001, weight_decay=0.0001
        )
        self.scaler = torch.GradScaler(
            torch.device(device).type, enabled=self.precision == "fp16"
        )
        self.network = network
        if self.compiled:
            self.network = torch.compile(network, dynamic=False)

    def estimate(self, mixture):
        """The forward pass, [batch, time] -> [batch, time, source]."""
        with torch.autocast(
            torch.device(self.device).type,
            PRECISIONS[self.precision],
            enabled=self.precision != "fp32",
        ):
            return self.network(mixture)

    def infer(self, mixture):
        """The forward pass alone, with nothing kept for gradients."""
        with torch.no_grad():
            return self.estimate(mixture)

    def train_step(self, mixture, reference):
        """Forward pass, loss, backward pass, clipping and Adam.

        Arguments
        ---------
        mixture : torch.Tensor
            [batch, time].
        reference : torch.Tensor
            [batch, time, source].
        """
        loss = si_sdr_loss(self.estimate(mixture), reference).mean()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRAD_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def make_adam_state(self):
        """Lets Adam allocate its moments, so that they count as loaded."""
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def parse(name):
    """Implementation, precision, and whether it is compiled, of a system.

    Raises ValueError when the name is none.

    Arguments
    ---------
    name : str
        Of the system.

    Returns
    -------
    tuple
        (str, str, bool)

    Example
    -------
    >>> parse("ours_bf16_compiled")
    ('ours', 'bf16', True)
    """
    implementation, _, rest = name.partition("_")
    precision, _, compiled = rest.partition("_")
    if (
        implementation not in IMPLEMENTATIONS
        or precision not in PRECISIONS
        or compiled not in ("", "compiled")
    ):
        raise ValueError(
            f"system {name!r}: expected {', '.join(IMPLEMENTATIONS)}, then "
            f"_{', _'.join(PRECISIONS)}, then _compiled or nothing"
        )
    return implementation, precision, compiled == "compiled"


def reason(error, name):
    """Why a system has no figures, in one line.

    Arguments
    ---------
    error : Exception
        What it raised.
    name : str
        Of the system.

    Returns
    -------
    str
        The kind of the error and the first line of its message.

    Example
    -------
    >>> reason(RuntimeError("no compiler\\nat all"), "ours_fp32_compiled")
    'could not be compiled: RuntimeError: no compiler'
    """
    if is_out_of_memory(error):
        return "does not fit"
    failure = "could not be compiled" if parse(name)[2] else "failed"
    message = str(error).strip().partition("\n")[0]
    return f"{failure}: {type(error).__name__}: {message}"


def make_batch(batch, samples, outputs, device):
    """Noise: the time of a step does not depend on the signals.

    Arguments
    ---------
    batch : int
        Number of items.
    samples : int
        Of an item.
    outputs : int
        Number of sources.
    device : str
        Where the signals are.

    Returns
    -------
    mixture : torch.Tensor
        [batch, time].
    reference : torch.Tensor
        [batch, time, source].
    """
    torch.manual_seed(1234)
    reference = torch.randn(batch, samples, outputs, device=device)
    noise = torch.randn(batch, samples, device=device)
    return reference.sum(-1) + noise, reference
