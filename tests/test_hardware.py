"""What the hardware lacks is found before the training, and named."""

import logging
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from hardware import check_memory
from losses import si_sdr_loss
from options import supported_options
from recipe import SEPARATION

from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions


class Hungry(torch.nn.Module):
    """Has memory for so many mixtures; draws random numbers as dropout does."""

    def __init__(self, room, error=torch.OutOfMemoryError):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.room, self.error, self.tried = room, error, []

    def forward(self, mixture):
        """The mixture as estimate of the only source."""
        self.tried.append(tuple(mixture.shape))
        if len(mixture) > self.room:
            raise self.error("out of memory")
        return (self.gain * mixture + 0.1 * torch.rand(())).unsqueeze(-1)


def brain_with(separator, batch_size=8, segment_seconds=0.5):
    """As much of a Brain as the check needs; mixtures of 1 and 3 s."""
    data = {str(i): {"duration": str(1 + 2 * (i % 2))} for i in range(10)}
    return SimpleNamespace(
        modules=SimpleNamespace(separator=separator),
        train_loader=SimpleNamespace(dataset=SimpleNamespace(data=data)),
        hparams=SimpleNamespace(
            segment_seconds=segment_seconds,
            sample_rate=100,
            batch_size=batch_size,
            num_spks=1,
            loss=si_sdr_loss,
            epoch_counter=EpochCounter(2),
        ),
        device="cpu",
        device_type="cpu",
        grad_accumulation_factor=6,
        optimizers_dict={"opt_class": SimpleNamespace(state={})},
        training_ctx=nullcontext(),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
    )


@pytest.mark.parametrize("seconds, samples", [(0.5, 50), (None, 300)])
def test_the_largest_batch_is_tried_once_and_changes_nothing(seconds, samples):
    separator = Hungry(room=8)
    brain = brain_with(separator, segment_seconds=seconds)
    state = torch.get_rng_state()
    check_memory(brain)
    assert separator.tried == [(8, samples)]
    assert separator.gain.grad is None and separator.gain == 1
    assert torch.equal(torch.get_rng_state(), state)


TEXTS = [
    "DefaultCPUAllocator: can't allocate memory: you tried",
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(""), MemoryError(), *map(RuntimeError, TEXTS)],
)
def test_the_largest_batch_that_fits_is_named(error):
    separator = Hungry(room=3, error=lambda _: error)
    expected = (
        "a batch of 8 mixtures of 0.5 s does not fit into the memory of cpu: "
        "the largest one found by halving that fits is 2; use --batch_size=2 "
        "--grad_accumulation_factor=24"
    )
    with pytest.raises(MemoryError, match=expected):
        check_memory(brain_with(separator))
    assert [shape[0] for shape in separator.tried] == [8, 4, 2]


def test_where_no_batch_fits_it_is_said():
    with pytest.raises(MemoryError, match="no batch fits: use a smaller"):
        check_memory(brain_with(Hungry(room=0)))


def test_a_small_corpus_makes_small_batches():
    separator = Hungry(room=10)
    check_memory(brain_with(separator, batch_size=32))
    assert separator.tried == [(10, 50)]


def test_other_errors_are_not_taken_for_it():
    separator = Hungry(room=0, error=RuntimeError)
    separator.error = lambda _: RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        check_memory(brain_with(separator))


@pytest.mark.parametrize("state, copies", [({}, 2), ({"step": 1}, 0)])
def test_room_for_adam_is_taken_unless_a_resume_has_it(
    state, copies, monkeypatch
):
    made = []
    monkeypatch.setattr(torch, "empty_like", made.append)
    brain = brain_with(Hungry(room=8))
    brain.optimizers_dict["opt_class"].state = state
    check_memory(brain)
    assert len(made) == copies


LIMITED = """
import resource, sys
sys.path[:0] = sys.argv[1:]
import torch
from hardware import check_memory
from test_convtasnet import MaskNet, network
from test_hardware import brain_with
torch.set_num_threads(1)
separator = network(MaskNet(N=32, B=32, H=64, P=3, X=3, R=3, C=1))
check_memory(brain_with(separator, batch_size=1))  # starts all threads
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + 400 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
brain = brain_with(separator, batch_size=8, segment_seconds=None)
brain.hparams.sample_rate = 50000
try:
    check_memory(brain)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux")
def test_a_real_lack_of_memory_is_named():
    folders = [str(SEPARATION), str(SEPARATION.parent)]
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            LIMITED,
            *folders,
            str(SEPARATION.parents[2] / "tests"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "a batch of 8 mixtures of 3 s does not fit" in ran.stdout, ran.stderr
    assert "--batch_size=" in ran.stdout or "no batch fits" in ran.stdout


def test_a_gpu_without_bf16_takes_fp16_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda **options: False
    )
    given = RunOptions(
        device="cuda:0",
        precision="bf16",
        overridden_args={"device", "precision"},
    )
    with caplog.at_level(logging.WARNING):
        options = supported_options({}, given)
    assert options.precision == "fp16"
    assert "precision: cuda:0 has no bf16, fp16 is used" in caplog.text


def test_a_cpu_takes_bf16():
    given = RunOptions(
        device="cpu", precision="bf16", overridden_args={"device", "precision"}
    )
    assert supported_options({}, given).precision == "bf16"
