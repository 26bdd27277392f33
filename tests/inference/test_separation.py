"""A trained model gives the same from arrays, in pieces, and wherever it lies."""

from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch
from fast.convtasnet import MaskNet
from inference.cross_corpus import separator_for
from inference.separation import LevelMatcher, Separation
from inference.trained import load_trained
from inference.windows import Windows, best_order
from made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run for SB and its network."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, make_run(folder, task="SB")


def signal(length, seed=0):
    """Noise at a level far from full scale."""
    return 0.01 * torch.randn(
        length, generator=torch.Generator().manual_seed(seed)
    )


def projected(mixture, estimates):
    """The sources at the level of the mixture, by formula."""
    mixture, estimates = mixture.double(), estimates.double()
    gains = (mixture @ estimates) / (estimates**2).sum(0)
    return (estimates * gains).float()


def test_array_in_and_array_out_at_the_level_of_the_mixture(run):
    folder, net = run
    separation = Separation.from_run(folder)
    assert separation.names == ["s1", "s2"]
    assert separation.sample_rate == 8000
    mixture = signal(8001)
    with torch.no_grad():
        expected = projected(mixture, net(mixture[None])[0])
    for given in (mixture, mixture.numpy(), mixture.double().numpy()):
        found = separation(given)
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        assert found.shape == (8001, 2)
        assert np.allclose(found, expected, atol=1e-7)


def test_mixtures_of_a_list_do_not_see_each_other(run):
    separation = Separation.from_run(run[0])
    mixtures = [signal(n, n) for n in (3000, 8000, 257)]
    found = separation(mixtures)
    for mixture, estimates in zip(mixtures, found):
        assert np.array_equal(estimates, separation(mixture))


def test_threads_may_share_it(run):
    separation = Separation.from_run(run[0])
    mixtures = [signal(2000 + 100 * n, n) for n in range(6)]
    expected = separation(mixtures)
    with ThreadPool(4) as pool:
        found = pool.map(separation, mixtures * 3)
    for one, other in zip(found, expected * 3):
        assert np.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize(
    "mixture, message",
    [
        (torch.zeros(2, 800), r"\[time\], found an array \[2, 800\]"),
        (np.zeros(8000, np.int16), "divide 16-bit samples by 32768"),
        (torch.full((8000,), torch.nan), "finite samples, found NaN"),
        (torch.zeros(0), "at least 48 samples, found 0"),
        (torch.zeros(47), "at least 48 samples, found 47"),
    ],
)
def test_what_is_no_mixture_is_refused(run, mixture, message):
    separation = Separation.from_run(run[0])
    assert separation.min_samples == 48  # 5 frames, which reflection takes
    with pytest.raises(ValueError, match=message):
        separation(mixture)
    assert not separation(torch.zeros(48)).any()


def test_a_checkpoint_and_a_record_are_found_from_elsewhere(run, monkeypatch):
    folder, net = run
    model = load_trained(folder)
    assert (model.task, model.sample_rate) == ("SB", 8000)
    monkeypatch.chdir(folder.parent)
    again = load_trained("run/save/" + model.checkpoint.name)
    for trained in (model, again):
        for one, other in zip(trained.separator.parameters(), net.parameters()):
            assert torch.equal(one, other)


def test_nothing_that_a_yaml_names_is_run(tmp_path):
    make_run(tmp_path / "run")
    path = tmp_path / "run" / "hyperparams.yaml"
    text = path.read_text(encoding="utf-8")
    trap = f"trap: !apply:os.mkdir [{tmp_path}/trap]\n"
    path.write_text(trap + text, encoding="utf-8")
    load_trained(tmp_path / "run")
    odd = text.replace("!new:fast.convtasnet.MaskNet", "!apply:os.mkdir")
    path.write_text(odd, encoding="utf-8")
    with pytest.raises(ValueError, match="found !apply:os.mkdir, which is not"):
        load_trained(tmp_path / "run")
    assert not (tmp_path / "trap").exists()


OLD_NAMES = {
    "!apply:variants.": "!apply:mmipc.",
    "!new:fast.convtasnet.MaskNet": "!apply:convtasnet.mask_network",
}


@pytest.mark.parametrize("implementation", ["fast", "stock"])
def test_runs_of_earlier_versions_load(tmp_path, implementation):
    net = make_run(tmp_path / "run", task="SB")
    path = tmp_path / "run/hyperparams.yaml"
    text = path.read_text(encoding="utf-8")
    for new, old in OLD_NAMES.items():
        assert new in text
        text = text.replace(new, old)
    line = f"\n      implementation: {implementation}\n      N: 16\n      B: 8"
    assert text.count("\n      N: 16\n      B: 8") == 1
    path.write_text(text.replace("\n      N: 16\n      B: 8", line))
    model = load_trained(tmp_path / "run")
    is_fast = isinstance(model.separator.masknet, MaskNet)
    assert is_fast == (implementation == "fast")
    assert "implementation" not in model.sizes["masknet"]
    mixture = signal(3000)[None]
    with torch.no_grad():
        assert torch.allclose(model.separator(mixture), net(mixture), atol=1e-5)


def test_a_model_for_another_corpus_must_fit_it(tmp_path):
    make_run(tmp_path / "SB", task="SB")
    make_run(tmp_path / "ES")
    separator = separator_for(tmp_path / "SB", "SB", 8000)
    assert separator(torch.randn(1, 800)).shape == (1, 800, 2)
    for path, task, rate, message in (
        (tmp_path / "ES", "SB", 8000, "init_from: .* task SB .* task ES"),
        (tmp_path / "SB", "SB", 16000, "for 16000 Hz, found .* for 8000 Hz"),
        (tmp_path / "nothing", "SB", 8000, "init_from: .*nothing: no such"),
        (None, "SB", 8000, "init_from: expected a trained model"),
        (tmp_path / "SB", "EB", 8000, "task: expected SB, found EB"),
    ):
        with pytest.raises(ValueError, match=message):
            separator_for(path, task, rate)


def test_folders_without_a_model_are_refused(tmp_path, run):
    with pytest.raises(ValueError, match="no such folder; expected the output"):
        load_trained(tmp_path / "none")
    with pytest.raises(ValueError, match="neither a checkpoint nor"):
        load_trained(tmp_path)
    make_run(tmp_path / "run")
    path = tmp_path / "run" / "hyperparams.yaml"
    for damaged, message in (
        ("[1, 2", "hyperparams.yaml: while parsing"),
        ("task: ES", "the key 'encoder' is missing"),
    ):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load_trained(tmp_path / "run")
    path.unlink()
    with pytest.raises(ValueError, match="expected hyperparams.yaml there"):
        load_trained(tmp_path / "run")


def test_fp16_on_a_cpu_is_refused(run):
    with pytest.raises(ValueError, match="expected fp32, bf16 on cpu"):
        Separation.from_run(run[0], precision="fp16")
    half = Separation.from_run(run[0], precision="bf16")
    full = Separation.from_run(run[0])
    difference = half(signal(4000)) - full(signal(4000))
    assert 0 < np.abs(difference).max() < 2e-3


def test_sources_keep_their_order_where_windows_meet():
    """A network that returns its sources in another order in each window."""
    time = torch.arange(100_000) / 8000
    tones = torch.stack([(220 * time).sin(), 0.3 * (3000 * time).sin()], -1)
    swaps = torch.Generator().manual_seed(3)
    low = torch.nn.Conv1d(1, 1, 301, padding=150, bias=False)
    low.weight.data.fill_(1 / 301)

    def estimate(mixtures):
        """Splits low from high tones."""
        smooth = low(mixtures.unsqueeze(1)).detach().squeeze(1)
        found = torch.stack([smooth, mixtures - smooth], -1)
        turn = torch.randint(2, (len(found),), generator=swaps).tolist()
        return torch.stack(
            [f.flip(-1) if t else f for f, t in zip(found, turn)]
        )

    mixture = tones.sum(-1)
    windows = Windows(estimate, 8000, 800, batch_size=3)
    found = torch.cat(list(windows.run(mixture.split(1000))))
    assert len(found) == len(mixture)
    whole = estimate(mixture[None])[0]
    order = best_order(whole, found)
    # A window sees nothing beyond its ends.
    error = (found[:, order] - whole).abs()
    assert error.max() < 0.2 and error.median() < 0.01


@pytest.mark.parametrize("length", [1, 99, 100, 101, 180, 181, 1061])
@pytest.mark.parametrize("block", [1, 64, 5000])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_windows_cover_each_sample_once(length, block, batch_size):
    mixture = signal(length)
    windows = Windows(lambda x: torch.stack([x, -x], -1), 100, 20, batch_size)
    found = torch.cat(list(windows.run(mixture.split(block))))
    assert torch.allclose(found[:, 0], mixture, atol=1e-7)


def test_long_mixture_is_near_to_the_whole_pass(run):
    """One channel group would be equal; gLN makes windows differ a little."""
    folder, _ = run
    mixture = signal(80_000)
    whole = Separation.from_run(folder, window_seconds=20)(mixture)
    parts = Separation.from_run(folder, window_seconds=2, overlap_seconds=0.4)
    found = parts(mixture)
    error = ((found - whole) ** 2).sum() / (whole**2).sum()
    assert error < 0.01


@pytest.mark.parametrize("overlap", [0, 51])
def test_an_overlap_of_more_than_half_a_window_is_refused(overlap):
    with pytest.raises(ValueError, match="at most half a window of 100"):
        Windows(None, 100, overlap)


def test_no_sample_exceeds_full_scale():
    mixture = torch.tensor([1.0, 0.0, 0.0, 0.0])
    estimates = torch.tensor([[1.0], [0.5], [-4.0], [0.0]]) / 100

    def level_of(mixture):
        """Listens to a mixture whose estimates are late, in other parts."""
        level = LevelMatcher()
        assert len(list(level.listen(mixture.split(2)))) == 2
        level.add(estimates[:3])
        level.add(estimates[3:])
        return level

    level = level_of(mixture)
    assert not level.is_silent
    gain = 100 / (1 + 0.25 + 16)
    assert torch.allclose(level.factors(), torch.tensor([gain]))
    peak = (level_of(10 * mixture).factors() * estimates).abs().max()
    assert peak.item() == pytest.approx(1)
    assert level_of(0 * mixture).is_silent


def test_nothing_is_written_into_the_folder_of_a_run(run):
    folder = run[0]

    def state():
        """All paths with what changes when they are written."""
        paths = [folder, *sorted(folder.rglob("*"))]
        return [(path, path.stat().st_mtime_ns) for path in paths]

    before = state()
    Separation.from_run(folder)(signal(800))
    assert state() == before
