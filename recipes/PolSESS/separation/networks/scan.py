"""The selective scan of Mamba, and the Mamba block.

"Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
https://arxiv.org/abs/2312.00752

Authors
 * The PolSESS recipe team 2026
"""

import math
import time
from functools import cache

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

CHUNK = 16  # steps between the states that are kept for the gradient
PROBE_STEPS = 2 * CHUNK  # of a scan, to estimate its duration
SLOW_SECONDS = 1.0  # a scan on the CPU that is worth a warning


def selective_scan(x, delta, A, B, C):
    """Computes the outputs of a state space whose parameters vary by step.

    With dt = softplus(delta): h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t, and
    y_t = C_t h_t. On CUDA the kernel of mamba_ssm computes it where installed.
    Without, the first slow scan, on CUDA any, logs how long it takes.

    Arguments
    ---------
    x : torch.Tensor
        Input, [sequence, step, channel].
    delta : torch.Tensor
        Step size before softplus, in float32, shape of x.
    A : torch.Tensor
        [channel, state], negative.
    B, C : torch.Tensor
        [sequence, step, state]

    Returns
    -------
    torch.Tensor
        [sequence, step, channel], in the precision of delta.

    Example
    -------
    >>> one = torch.ones(1, 3, 1)
    >>> half = torch.full((1, 3, 1), 0.5).log()
    >>> dt = torch.full((1, 3, 1), math.expm1(1.0)).log()  # softplus gives 1
    >>> selective_scan(one, dt, half[0, :1], one, one).flatten().tolist()
    [1.0, 1.5, 1.75]
    """
    with torch.autocast(x.device.type, enabled=False):
        if torch.compiler.is_exporting():
            return _exportable(x, delta, A, B, C)
        return _computed(x, delta, A, B, C)


@torch.compiler.disable  # it would unroll the loop
def _computed(x, delta, A, B, C):
    """The scan by the kernel or in plain torch."""
    kernel = _kernel(x.device.type)
    if kernel is not None:
        x, delta, B, C = (s.mT.float() for s in (x, delta, B, C))
        return kernel(x, delta, A, B, C, delta_softplus=True).mT
    x, delta, B, C = (s.transpose(0, 1).contiguous() for s in (x, delta, B, C))
    _warn_once(x, delta, A, B, C)
    return Recurrence.apply(x, delta, A, B, C).transpose(0, 1)


def _exportable(x, delta, A, B, C):
    """The scan as one operator of ONNX, without gradient."""
    from torch._higher_order_ops.scan import scan  # a prototype of torch

    def step(state, now):
        dt, u, B, C = now
        state = torch.exp(dt.unsqueeze(-1) * A) * state
        state = state + u.unsqueeze(-1) * B.unsqueeze(-2)
        return state.clone(), (state @ C.unsqueeze(-1)).squeeze(-1)

    A = A.detach()
    x, delta, B, C = (
        s.detach().transpose(0, 1).contiguous() for s in (x, delta, B, C)
    )
    dt = F.softplus(delta)
    start = torch.zeros_like(dt[0]).unsqueeze(-1) * A
    y = scan(step, start, (dt, dt * x, B.float(), C.float()))[1]
    return y.transpose(0, 1)


class Recurrence(torch.autograd.Function):
    """The selective scan in plain torch.

    A plain loop stores every state for the gradient: [step, sequence, channel,
    state]. This one stores a state every ``CHUNK`` steps, and recomputes the
    others. Steps come first: x and delta [step, sequence, channel], A [channel,
    state], B and C [step, sequence, state].
    """

    @staticmethod
    def forward(ctx, x, delta, A, B, C):
        """Returns the outputs, shape of x, in the precision of delta."""
        y = torch.empty_like(delta)
        state = delta.new_zeros(*x.shape[1:], A.shape[1])
        starts = []
        for part in _parts(len(x)):
            starts.append(state)
            dt, u, b, c = _at(part, x, delta, B, C)
            states, _ = _states(state, dt, u, A, b)
            y[part] = (states @ c.unsqueeze(-1)).squeeze(-1)
            state = states[-1].clone()  # a view would keep the chunk
        ctx.save_for_backward(x, delta, A, B, C, torch.stack(starts))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        """Returns the gradients of x, delta, A, B and C."""
        with torch.autocast(grad_y.device.type, enabled=False):
            return _gradients(grad_y, *ctx.saved_tensors)


def _gradients(grad_y, x, delta, A, B, C, starts):
    """Returns the gradients of the scan's inputs."""
    grad_x, grad_delta, grad_B, grad_C = (
        torch.empty_like(signal) for signal in (x, delta, B, C)
    )
    grad_A = torch.zeros_like(A)
    later = torch.zeros_like(starts[0])  # gradient from the next chunk
    for part, start in reversed([*zip(_parts(len(x)), starts)]):
        dt, u, b, c = _at(part, x, delta, B, C)
        states, decay = _states(start, dt, u, A, b)
        y = grad_y[part]
        # Gradient of the states, from the last step to the first.
        grad = y.unsqueeze(-1) * c.unsqueeze(-2)
        grad[-1] += later
        for t in range(len(grad) - 2, -1, -1):
            grad[t].addcmul_(decay[t + 1], grad[t + 1])
        later = decay[0] * grad[0]
        # Gradient of dt_t A: that of h_t times exp(dt_t A) h_(t-1).
        exponent = decay.mul_(grad)
        exponent[0] *= start
        exponent[1:] *= states[:-1]
        grad_A += torch.einsum("tscn,tsc->cn", exponent, dt)
        grad_u = (grad @ b.unsqueeze(-1)).squeeze(-1)  # of dt_t x_t
        grad_dt = torch.einsum("tscn,cn->tsc", exponent, A)
        grad_dt += grad_u * x[part]
        grad_x[part] = grad_u * dt
        grad_delta[part] = grad_dt * torch.sigmoid(delta[part])
        grad_B[part] = (u.unsqueeze(-2) @ grad).squeeze(-2)
        grad_C[part] = (y.unsqueeze(-2) @ states).squeeze(-2)
    return grad_x, grad_delta, grad_A, grad_B, grad_C


def _parts(steps):
    """Slices of CHUNK steps."""
    return [slice(first, first + CHUNK) for first in range(0, steps, CHUNK)]


def _at(part, x, delta, B, C):
    """Returns dt, dt x, B and C of a chunk, in the precision of delta."""
    dt = F.softplus(delta[part])
    B, C = B[part].to(dt.dtype), C[part].to(dt.dtype)
    return dt, dt * x[part], B, C


def _states(start, dt, u, A, B):
    """Returns states and decays of a chunk, [step, sequence, channel, state]."""
    decay = torch.exp(dt.unsqueeze(-1) * A)
    states = u.unsqueeze(-1) * B.unsqueeze(-2)
    before = start
    for t in range(len(states)):
        before = states[t].addcmul_(decay[t], before)
    return states, decay


@cache
def _kernel(device):
    """Returns mamba_ssm's scan, or None. Some builds come without its kernel."""
    if device != "cuda":
        return None
    try:
        from mamba_ssm.ops import selective_scan_interface
    except ImportError:
        return None
    if getattr(selective_scan_interface, "selective_scan_cuda", None) is None:
        return None
    return selective_scan_interface.selective_scan_fn


_told = []  # the durations that were measured, one at most


def _warn_once(x, delta, A, B, C):
    """Logs how long this scan takes, from its first steps."""
    steps = min(len(x), PROBE_STEPS)
    if _told or (not x.is_cuda and steps < PROBE_STEPS):
        return
    first = [s if s is A else s[:steps] for s in (x, delta, A, B, C)]
    for _ in range(2):  # the first run also loads what the second uses
        start = time.perf_counter()
        with torch.no_grad():
            Recurrence.apply(*first)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds = (time.perf_counter() - start) / steps * len(x)
    _told.append(seconds)
    if x.is_cuda or seconds > SLOW_SECONDS:
        logger.warning(
            f"A selective scan of {len(x)} steps takes about {seconds:.2g} s in "
            f"plain torch on {x.device.type}. The kernel of mamba_ssm is faster; "
            "it needs CUDA, and is used where installed."
        )


class Mamba(torch.nn.Module):
    """Mamba block: gated convolution and selective scan.

    Arguments
    ---------
    size : int
        Channels of input and output.
    d_state : int
        States a channel.
    d_conv : int
        Kernel of the causal convolution, in steps.
    expand : int
        Inner channels a channel.

    Example
    -------
    >>> Mamba(8)(torch.randn(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """

    def __init__(self, size, d_state=16, d_conv=4, expand=2):
        super().__init__()
        inner = expand * size
        self.sizes = math.ceil(size / 16), d_state, d_state
        self.in_proj = torch.nn.Linear(size, 2 * inner, bias=False)
        self.conv = torch.nn.Conv1d(inner, inner, d_conv, groups=inner)
        self.x_proj = torch.nn.Linear(inner, sum(self.sizes), bias=False)
        self.dt_proj = torch.nn.Linear(self.sizes[0], inner)
        states = torch.arange(1, d_state + 1, dtype=torch.float32)
        self.A_log = torch.nn.Parameter(states.log().repeat(inner, 1))
        self.D = torch.nn.Parameter(torch.ones(inner))
        self.out_proj = torch.nn.Linear(inner, size, bias=False)
        # Step sizes start log-uniform from 0.001 to 0.1: softplus of the bias.
        dt = torch.empty(inner).uniform_(math.log(0.001), math.log(0.1)).exp()
        self.dt_proj.bias.data = torch.log(torch.expm1(dt))

    def forward(self, signal):
        """Transforms [sequence, step, size] to the same shape.

        The scan and its parameters stay in float32 under autocast. The inner
        signals are recomputed for the gradient, as mamba_ssm does.
        """
        y = self.in_proj(signal)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            options = dict(use_reentrant=False, preserve_rng_state=False)
            return self.out_proj(checkpoint(self._inner, y, **options))
        return self.out_proj(self._inner(y))

    def _inner(self, signal):
        """Convolution, scan and gate, from both halves of the inner channels."""
        x, gate = signal.chunk(2, -1)
        x = F.pad(x.transpose(1, 2), (self.conv.kernel_size[0] - 1, 0))
        x = F.silu(self.conv(x)).transpose(1, 2)
        low, B, C = self.x_proj(x).split(self.sizes, -1)
        with torch.autocast(x.device.type, enabled=False):
            delta = self.dt_proj(low.float())
            y = selective_scan(x, delta, -self.A_log.exp(), B, C)
            y = (y + self.D * x) * F.silu(gate.float())
        return y.to(signal.dtype)
