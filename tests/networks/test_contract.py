"""The contract of the networks in the registry."""

import copy
import re

import pytest
import torch
from exporting.onnx_file import FIXED_SECONDS, write_onnx
from losses import si_sdr_loss
from networks.options import NetworkOptions, check_precision, checkpoint_blocks
from networks.registry import NETWORKS, find_network
from recipe import HPARAMS, committed, hparams_of
from streaming.streaming import check_causal
from tiny_networks import BY_NAME, TINY, overrides_of, speech_like, tiny

NAMES = list(BY_NAME)
# Keys before the model block whose values may differ from YAML to YAML.
OWN_VALUES = (
    "output_folder batch_size grad_accumulation_factor lr weight_decay "
    "max_grad_norm precision warmup_steps"
).split()


def model_block(path):
    """Lines of a YAML before and after its model block."""
    text = path.read_text(encoding="utf-8")
    before, rest = re.split(r"\n# Model(?!:)", text)  # not that of the header
    return before.splitlines(), rest.partition("\nmodules:")[2].splitlines()


def without_values(lines):
    """The lines, with no value where each YAML has its own, and no header."""
    keys = "|".join(OWN_VALUES)
    text = "\n".join(line for line in lines if not line.startswith("# "))
    assert text.count("\n") > 80
    return re.sub(rf"^((?:{keys}):).*$", r"\1", text, flags=re.M)


def test_each_network_has_a_yaml_and_a_tiny_size():
    assert {network.hparams for network in NETWORKS} | {
        *("klec2024.yaml", "test_libri2mix.yaml", "tune.yaml")
    } == {path.name for path in committed(HPARAMS, "*.yaml")}
    assert set(TINY) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_yaml_shares_all_but_the_model(name):
    path = HPARAMS / BY_NAME[name].hparams
    shared = [without_values(model_block(x)[0]) for x in (path, CONV_TASNET)]
    assert shared[0] == shared[1]
    ends = [model_block(x)[1] for x in (path, CONV_TASNET)]
    marks = [[x for x in end if re.match(r"\S", x)] for end in ends]
    keys = [[re.match(r"[\w#]+", x)[0] for x in lines] for lines in marks]
    assert keys[0] == keys[1]
    test = [end[end.index("metrics: " + METRICS) :] for end in ends]
    drop = [
        [x for x in lines if not re.match(r" {8}[{ ]\w+: !ref", x)]
        for lines in test
    ]
    assert drop[0] == drop[1]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 160


def test_the_set_up_of_the_corpus_paper_shares_all_but_its_values():
    """Keys are the same, in the same order."""
    keys = [
        re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.M)
        for path in (CONV_TASNET, HPARAMS / "klec2024.yaml")
    ]
    assert keys[0] == keys[1]


CONV_TASNET = HPARAMS / "convtasnet.yaml"
METRICS = "[si_sdr, sdr, pesq, stoi, estoi]"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["ES", "SB"])
def test_sizes_have_the_published_number_of_parameters(name, task):
    network = BY_NAME[name]
    for flags, *numbers in network.sizes.values():
        overrides = {"task": task, **overrides_of(flags)}
        hparams = hparams_of(network.hparams, **overrides)
        found = sum(p.numel() for p in hparams["separator"].parameters())
        assert found == numbers[task == "SB"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["ES", "SB"])
def test_lengths(name, task):
    separator = tiny(name, task).eval()
    assert separator.num_spks == 1 + (task == "SB")
    least = separator.min_samples
    for samples in (least, least + 1, 1001, 1999):
        with torch.no_grad():
            estimate = separator(speech_like(2, samples))
        assert estimate.shape == (2, samples, separator.num_spks)
        assert estimate.isfinite().all()
    with pytest.raises(ValueError, match="shorter than|too short"):
        separator(speech_like(1, least - 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True])
def test_an_item_does_not_depend_on_its_batch(name, training):
    separator = tiny(name).train(training)
    for module in separator.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    mixture = speech_like(3, 4001)
    with torch.no_grad():
        whole = separator(mixture)
        single = torch.cat([separator(item[None]) for item in mixture])
    assert (whole - single).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("gain", [0.0, 1e-4, 1e3])
def test_estimates_and_gradients_are_finite(name, precision, gain):
    separator = tiny(name).train()
    mixture = gain * speech_like(2, 2001)
    half = precision == "bf16"
    with torch.autocast("cpu", torch.bfloat16, half):
        estimate = separator(mixture)
    assert estimate.isfinite().all()
    reference = torch.stack([mixture, mixture.flip(-1)], -1)
    si_sdr_loss(estimate, reference).mean().backward()
    for key, parameter in separator.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_trained(name):
    separator = tiny(name).train()
    estimate = separator(speech_like(2, 4001))
    outputs = [estimate, *getattr(separator, "auxiliary", [])]
    weights = torch.Generator().manual_seed(0)
    loss = sum(
        (output * torch.randn(output.shape, generator=weights)).sum()
        for output in outputs
    )
    loss.backward()
    unused = [k for k, p in separator.named_parameters() if p.grad is None]
    assert not unused


@pytest.mark.parametrize("name", NAMES)
def test_checkpointed_blocks_have_the_same_gradient(name):
    plain = tiny(name).train()
    frugal = copy.deepcopy(plain)
    checkpoint_blocks(frugal)
    mixture, grads, kept = speech_like(2, 4001), [], []
    for separator in (plain, frugal):
        sizes = []
        torch.manual_seed(0)  # dropout
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x
        ):
            estimate = separator(mixture)
        kept.append(sum(sizes))
        estimate.square().sum().backward()
        grads.append([p.grad for p in separator.parameters()])
    assert kept[1] < kept[0]
    assert list(plain.state_dict()) == list(frugal.state_dict())
    for expected, found in zip(*grads):
        assert (expected is None) == (found is None)
        assert expected is None or torch.equal(expected, found)
    with torch.no_grad():
        found, expected = (x.eval()(mixture) for x in (frugal, plain))
    assert torch.equal(found, expected)


def test_only_a_network_of_the_registry_is_checkpointed():
    with pytest.raises(ValueError, match="registry.py, found Identity"):
        checkpoint_blocks(torch.nn.Identity())


@pytest.mark.parametrize("name", NAMES)
def test_fp16_and_live_audio_are_refused_with_the_reason(name):
    network, separator = BY_NAME[name], tiny(name)
    assert find_network(separator) is network
    if network.fp16:
        with pytest.raises(ValueError, match="^eval_precision: .*found fp16"):
            check_precision(separator, "fp16", "eval_precision")
    for precision in ("fp32", "bf16") + ("fp16",) * (not network.fp16):
        check_precision(separator, precision)
    if network.streaming:
        with pytest.raises(ValueError, match=f"is {name}: {network.streaming}"):
            check_causal(separator)
    else:
        causal = overrides_of(network.causal)
        check_causal(tiny(name, **causal))


@pytest.mark.parametrize(
    "name", [network.name for network in NETWORKS if network.causal]
)
def test_a_causal_network_reads_no_later_samples(name):
    separator = tiny(name, **overrides_of(BY_NAME[name].causal)).eval()
    mixture = speech_like(1, 4000)
    changed = mixture.clone()
    changed[:, 3000:] += 0.1
    with torch.no_grad():
        whole, other = separator(mixture), separator(changed)
    # A frame reads at most one segment and one kernel of samples at once.
    assert torch.equal(whole[:, :2000], other[:, :2000])
    assert not torch.equal(whole[:, 3000:], other[:, 3000:])


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name",
    [x.name for x in NETWORKS if x.onnx in ("free", "fixed")],
)
def test_onnx_runtime_computes_the_same(name, tmp_path):
    length = None
    if BY_NAME[name].onnx == "fixed":
        length = FIXED_SECONDS * 8000
    write_onnx(tiny(name).eval(), tmp_path / "model.onnx", length)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_a_few_hundred_steps_learn_two_sources(name):
    """A low and a high tone in noise: the mixture itself has 0 dB."""
    torch.manual_seed(0)
    hparams = hparams_of(
        BY_NAME[name].hparams, task="SB", **overrides_of(TINY[name])
    )
    separator = hparams["separator"].train()
    optimizer = torch.optim.Adam(separator.parameters(), lr=3e-3)
    time = torch.arange(2000) / 8000
    found = []
    for _ in range(300):
        pitch = torch.rand(2, 1) * 100 + torch.tensor([[300.0], [1500.0]])
        phase = 2 * torch.pi * torch.rand(2, 1)
        sources = 0.1 * torch.sin(2 * torch.pi * pitch * time + phase).t()
        mixture = sources.sum(-1) + 0.001 * torch.randn(2000)
        loss = hparams["loss"](separator(mixture[None]), sources[None]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(separator.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(-loss.item())
    assert sum(found[-30:]) / 30 > 6


# Sizes that no network takes, by name; a key of two networks stands for both.
BAD_SIZES = [
    ("Conv-TasNet", "X", 0, "X: .* from 1 on, found 0"),
    ("DPRNN", "num_layers", 0, "num_layers: .* from 1 on, found 0"),
    ("DPRNN", "H", -1, "intra_model: hidden_channels: .* from 1 on, found -1"),
    ("SepFormer", "nhead", 3, "d_model: .* multiple of 3 .nhead., found 8"),
    ("SepFormer", "nhead", 0, "intra_model: nhead: .* from 1 on, found 0"),
    ("SepFormer", "K", 7, "K: .* multiple of 2 .*, found 7"),
    ("SkiM", "norm_type", "cLN", "seg_model: norm_type: .* found 'cLN'"),
    ("SkiM", "layer", 0, "layer: .* from 1 on, found 0"),
    ("RE-SepFormer", "segment_size", 0, "segment_size: .* found 0"),
    ("TF-Locoformer", "heads", 0, "heads: .* from 1 on, found 0"),
    ("TF-Locoformer", "B", -1, "B: .* from 1 on, found -1"),
    ("TF-Locoformer", "hop", 0, "hop: .* from 1 on, found 0"),
    ("TF-Locoformer", "local_windows", 3, "local_windows: .* found 3"),
    ("TF-GridNet", "qk_dim", 0, "qk_dim: .* from 1 on, found 0"),
    ("TF-GridNet", "D", 2.5, "D: .* from 1 on, found 2.5"),
    ("SPMamba", "I", 0, "I: .* from 1 on, found 0"),
    ("MossFormer2", "num_blocks", 0, "num_blocks: .* from 1 on, found 0"),
    ("MossFormer2", "memory_dim", "a", "memory_dim: .* found 'a'"),
    ("SepReformer", "R", -1, "R: .* from 1 on, found -1"),
    ("SepReformer", "stride", 0, "stride: .* from 1 on, found 0"),
]


@pytest.mark.parametrize("name, key, size, message", BAD_SIZES)
def test_a_size_that_makes_no_network_is_named(name, key, size, message):
    with pytest.raises(ValueError, match=message):
        tiny(name, **{key: size})


class Brain:
    """As much of sb.Brain as the mixin reads."""

    def __init__(self, *_):
        self.precision = self.eval_precision = "fp32"
        self.find_unused_parameters = self.given


class OptionsBrain(NetworkOptions, Brain):
    """A Brain with the mixin."""

    given = False


def test_options_that_do_not_fit_are_refused():
    modules = {"separator": tiny("SepReformer")}
    for given in ("no", 1):
        with pytest.raises(ValueError, match="^gradient_.* True or False"):
            OptionsBrain(modules, hparams={"gradient_checkpointing": given})
    OptionsBrain.given = True
    try:
        OptionsBrain({"separator": tiny("DPRNN")})
        with pytest.raises(ValueError, match="^find_unused_parameters: "):
            OptionsBrain(modules)
    finally:
        OptionsBrain.given = False
