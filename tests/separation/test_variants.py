"""MM-IPC on integers: what a variant keeps, which is drawn, which crop."""

import itertools
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from mixtures import Mixer, draw
from variants import (
    FILE_COLUMNS,
    TASKS,
    VARIANTS,
    default_variants,
    num_outputs,
)

SAMPLES = 800
SECONDS = 0.09998  # 799.84 samples: it is rounded, not cut off
SIGNALS = dict(
    zip(
        FILE_COLUMNS[1:],
        np.random.default_rng(0).integers(-1000, 1000, (7, SAMPLES)),
    )
)
# What a mixture contains as it is stored.
STORED = {
    "indoor": "s1 s2 scene event s1_reverb s2_reverb event_reverb",
    "outdoor": "s1 s2 scene event",
    "dry": "s1 s2 scene",
}
# What must remain, written out by hand from the published table.
KEPT = {
    ("SER", "indoor"): STORED["indoor"],
    ("SR", "indoor"): "s1 s2 scene s1_reverb s2_reverb",
    ("ER", "indoor"): "s1 s2 event s1_reverb s2_reverb event_reverb",
    ("R", "indoor"): "s1 s2 s1_reverb s2_reverb",
    ("C", "indoor"): "s1 s2",
    ("SE", "outdoor"): "s1 s2 scene event",
    ("S", "outdoor"): "s1 s2 scene",
    ("E", "outdoor"): "s1 s2 event",
    ("C", "outdoor"): "s1 s2",
    # A corpus without reverberation stores its variants: nothing is cancelled.
    ("S", "dry"): STORED["dry"],
    ("C", "dry"): STORED["dry"],
}
REFERENCES = {"ES": ["s1"], "EB": ["s1 s2"], "SB": ["s1", "s2"]}
INDOOR = ["SER", "SR", "ER", "R"]


def total(names, task="EB"):
    """The sum of signals, for ES without the second speaker."""
    kept = [n for n in names.split() if task != "ES" or n[:2] != "s2"]
    return sum(SIGNALS[f"{name}_wav"] for name in kept)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A mixture of each setting: column -> path, empty where it has none."""
    folder = tmp_path_factory.mktemp("mixtures")
    made = {}
    for setting, names in STORED.items():
        columns = [f"{name}_wav" for name in names.split()]
        signals = {"mix_wav": total(names), **{c: SIGNALS[c] for c in columns}}
        made[setting] = dict.fromkeys(FILE_COLUMNS, "")
        for column, signal in signals.items():
            path = folder / f"{setting}_{column}.wav"
            soundfile.write(path, signal.astype(np.int16), 8000)
            made[setting][column] = str(path)
    return made


def mix(mixer, files, setting, variants, mixture_id="id"):
    """The variant drawn and, as integers, the mixture and its references."""
    variant, mixture, sources = mixer(
        mixture_id, setting, variants, SECONDS, *files[setting].values()
    )
    return variant, mixture.numpy() * 32768, sources.numpy() * 32768


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("variant, setting", KEPT)
def test_mixture_is_the_sum_of_what_the_variant_keeps(
    files, task, variant, setting
):
    # A single variant is not drawn, so it need not be one of the mixer's.
    mixer = Mixer(task, ["ER"], seed=1, sample_rate=8000)
    drawn, mixture, sources = mix(mixer, files, setting, [variant])
    assert drawn == variant
    assert np.array_equal(mixture, total(KEPT[variant, setting], task))
    references = np.stack([total(names) for names in REFERENCES[task]], -1)
    assert np.array_equal(sources, references)


def test_only_needed_files_are_read(files):
    needed = ["mix_wav", "s1_wav", "s2_wav", "s2_reverb_wav", "scene_wav"]
    lazy = {c: files["indoor"][c] if c in needed else c for c in FILE_COLUMNS}
    mixer = Mixer("ES", VARIANTS, seed=1, sample_rate=8000)
    mix(mixer, {"indoor": lazy}, "indoor", ["ER"])
    with pytest.raises(ValueError, match="id: event_wav: .* no such file"):
        mix(mixer, {"indoor": lazy}, "indoor", ["SR"])


def draws_of(files, seed):
    """Variant and first sample of each crop of a mixture in 450 epochs."""
    # 797.76 samples are rounded to 798, the least that is taken.
    segment = {"segment_seconds": 0.09972, "min_samples": 798}
    mixer = Mixer("ES", ["E", "SE", "S"], seed, 8000, **segment)
    for epoch in range(1, 451):
        mixer.set_epoch(epoch)
        variant, *found = mix(mixer, files, "outdoor", ["SE", "S", "E"])
        mixture, (source,) = found[0], found[1].T
        (start,) = [
            start
            for start in range(3)
            if np.array_equal(source, total("s1")[start : start + 798])
        ]
        kept = total(KEPT[variant, "outdoor"], "ES")
        # The crop is the same for all signals.
        assert np.array_equal(mixture, kept[start : start + 798])
        yield variant, start


def test_variant_and_crop_are_uniform_and_independent(files):
    draws, others = list(draws_of(files, 1)), list(draws_of(files, 2))
    counts = Counter(draws)
    # 450 / 9 = 50 -+ 4 standard deviations of 6.7
    assert len(counts) == 9
    assert min(counts.values()) > 23 and max(counts.values()) < 77
    for drawn, other in zip(zip(*draws), zip(*others)):
        assert 120 < sum(a == b for a, b in zip(drawn, other)) < 180


def test_a_mixture_shorter_than_the_crop_is_whole(files):
    mixer = Mixer("EB", ["S"], 1, 8000, segment_seconds=4.0)
    _, mixture, _ = mix(mixer, files, "outdoor", ["S"])
    assert np.array_equal(mixture, total("s1 s2 scene"))


def test_draw_is_stateless_uniform_and_independent():
    draws = [draw(1, 1, f"id{i}", "variant") for i in range(10000)]
    tenths = torch.histc(torch.tensor(draws), 10, 0, 1)
    # 10000 / 10 = 1000 +- 5 standard deviations of 30
    assert tenths.min() > 850 and tenths.max() < 1150
    for seed, epoch, purpose in (
        (2, 1, "variant"),
        (1, 2, "variant"),
        (1, 1, "crop"),
    ):
        others = [draw(seed, epoch, f"id{i}", purpose) for i in range(10000)]
        correlation = torch.corrcoef(torch.tensor([draws, others]))[0, 1]
        assert abs(correlation) < 0.05
    assert draws[:9] == [draw(1, 1, f"id{i}", "variant") for i in range(9)]


def variants_of(mixer, files, epoch):
    """The variants that 40 indoor mixtures draw in an epoch."""
    mixer.set_epoch(epoch)
    ids = [f"id{i}" for i in range(40)]
    return [mix(mixer, files, "indoor", INDOOR, i)[0] for i in ids]


def test_curriculum_holds_a_stage_until_the_next(files):
    stages = [
        {"epoch": 5, "variants": ["SER", "SE"]},
        {"epoch": 2, "variants": ["R", "SR", "S"]},
    ]
    mixer = Mixer("ES", ["ER"], 1, 8000, curriculum=stages)
    drawn = [set(variants_of(mixer, files, e)) for e in (1, 2, 4, 5, 99)]
    assert drawn == [{"ER"}, {"SR", "R"}, {"SR", "R"}, {"SER"}, {"SER"}]


def test_draw_does_not_depend_on_the_order_of_the_yaml(files):
    drawn = [
        variants_of(Mixer("ES", list(order), 3, 8000), files, 11)
        for order in itertools.permutations(["SER", "SR", "R"])
    ]
    assert all(variants == drawn[0] for variants in drawn)


def stage(epoch=2, variants=("R",), **others):
    """A curriculum of one stage."""
    return {"curriculum": [dict(epoch=epoch, variants=variants, **others)]}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"task": "XX"}, "expected one of ES, EB, SB, found 'XX'"),
        ({"variants": "SER"}, "variants: expected a list out of SER"),
        ({"variants": []}, "variants: expected a list out of SER"),
        ({"variants": ["SER", "sr"]}, "'sr' is none of SER.*is SR meant"),
        ({"curriculum": [3]}, r"curriculum\[0\]: expected {epoch, variants}"),
        (stage(lr=1), r"curriculum\[0\]: expected {epoch, variants}"),
        (stage("one"), r"\[0\].epoch: expected 1, 2, ..., found 'one'"),
        (stage(0), r"\[0\].epoch: expected 1, 2, ..., found 0"),
        (stage(True), r"\[0\].epoch: expected 1, 2, ..., found True"),
        (stage(variants=["X"]), "curriculum, epoch 2: 'X' is none of"),
        (
            {"segment_seconds": 0.001, "min_samples": 9},
            r"0.001 s \(8 samples\) is too short .* expected 0.001125 s or",
        ),
    ],
)
def test_a_mixer_refuses_what_makes_no_sense(options, message):
    arguments = {"task": "ES", "variants": ["SER"], "seed": 1, **options}
    with pytest.raises(ValueError, match=message):
        Mixer(sample_rate=8000, **arguments)


@pytest.mark.parametrize("task, is_warned", [("ES", True), ("SB", False)])
def test_c_is_warned_of_where_it_says_nothing(task, is_warned, caplog):
    Mixer(task, ["SER"], 1, 8000, **stage(variants=["C"]))
    message = "curriculum, epoch 2: C is the reference up to rounding"
    assert (message in caplog.text) == is_warned


@pytest.mark.parametrize("function", [num_outputs, default_variants])
def test_an_unknown_task_is_named(function):
    with pytest.raises(ValueError, match="one of ES, EB, SB, found 'XX'"):
        function("XX")
