"""Items of the mixer against files that are read on their own."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from augmentation.mixer import AugmentingMixer, change_speed
from augmentation.remix import Remix
from checkpoints import random_state
from checkpoints.random_state import SeededDataset
from corpora import MadeCorpus
from mixtures import Mixer, draw, load_mixtures
from promises import AUGMENTATION, MODEL
from recipe import hparams_of
from run_folders import digest, equal
from variants import TASKS, VARIANTS

from speechbrain.dataio.dataloader import SaveableDataLoader

ALL_ON = {"speeds": [0.95, 1.0, 1.05], "gain_db": 6.0, "flip_probability": 0.5}
PARTS = {
    "s1_wav": "s1",
    "s1_reverb_wav": "s1",
    "s2_wav": "s2",
    "s2_reverb_wav": "s2",
    "scene_wav": "scene",
    "event_wav": "event",
    "event_reverb_wav": "event",
}
DRY = ("s1_wav", "s2_wav")
FLAGS = (
    "--remix_probability=0.7 --speeds=[0.9,1.0,1.1] --gain_db=3.0 "
    "--flip_probability=0.5"
).split()


@pytest.fixture(scope="module")
def rows(once):
    """Three mixtures of each setting, 0.2 s long."""

    def make(folder):
        counts = {"train": (3, 3)}
        MadeCorpus(folder, counts, seconds=0.2).prepare("train")

    return load(once("to_remix", make))


def load(folder):
    return load_mixtures(
        str(folder / "save"), "train", VARIANTS, str(folder / "Tiny"), 8000
    )


def mixer_of(rows, task="SB", variants=VARIANTS, remix=None, **options):
    mixer = AugmentingMixer(
        task=task,
        variants=list(variants),
        seed=options.pop("seed", 1),
        sample_rate=8000,
        segment_seconds=options.pop("segment_seconds", None),
        remix=remix,
        **options,
    )
    mixer.set_rows(rows)
    return mixer


def item(mixer, rows, name, epoch=1):
    mixer.set_epoch(epoch)
    return mixer(*(rows[name][column] for column in Mixer.takes))


def same(one, other):
    return one[0] == other[0] and all(map(torch.equal, one[1:], other[1:]))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("segment_seconds", [None, 0.1])
def test_all_off_is_the_mixer(rows, task, segment_seconds):
    arguments = task, list(VARIANTS), 1, 8000, segment_seconds
    plain = Mixer(*arguments)
    for off in ({}, {"remix": Remix(0.0), "speeds": [1.0]}):
        mixer = mixer_of(rows, task, segment_seconds=segment_seconds, **off)
        for name in rows:
            for epoch in (1, 2):
                plain.set_epoch(epoch)
                expected = plain(*(rows[name][c] for c in Mixer.takes))
                assert same(item(mixer, rows, name, epoch), expected)


def unmix(rows, signal):
    """Gains with which whole files add up to a signal, by least squares.

    Returns (mixture ID, column) -> gain, and the files.
    """
    files = {
        (name, column): soundfile.read(row[column])[0]
        for name, row in rows.items()
        for column in PARTS
        if row[column]
    }
    matrix, signal = np.stack(list(files.values()), 1), signal.double().numpy()
    gains = np.linalg.lstsq(matrix, signal, rcond=None)[0]
    assert np.abs(matrix @ gains - signal).max() < 1e-6
    found = {key: g for key, g in zip(files, gains) if abs(g) > 1e-3}
    return found, files


def db(signal):
    return 10 * math.log10(np.mean(signal**2))


@pytest.mark.parametrize("task", TASKS)
def test_a_remix_is_the_sum_of_its_components(rows, task):
    mixer = mixer_of(rows, task, remix=Remix(1.0))
    variants, ratios, donors = set(), [], set()
    for name, epoch in itertools.product(rows, range(1, 13)):
        variant, mixture, references = item(mixer, rows, name, epoch)
        variants.add(variant)
        gains, files = unmix(rows, mixture)
        heard = {key: gain * files[key] for key, gain in gains.items()}
        # (mixture, part) -> its columns; the speaker may be s1 of another.
        parts = {}
        for donor, column in gains:
            columns = parts.setdefault((donor, PARTS[column]), set())
            columns.add(column)
            assert rows[donor]["setting"] == rows[name]["setting"]
        donors.update(parts)
        speakers = [key for key in parts if key[1] in ("s1", "s2")]
        assert (name, "s1") in speakers
        assert len({donor for donor, _ in speakers}) == len(speakers)
        assert len(speakers) == (1 if task == "ES" else 2)
        others = [key for key in parts if key not in speakers]
        assert all(donor != name for donor, _ in others)
        assert sorted(part for _, part in others) == [
            part for part in ("event", "scene") if part[0].upper() in variant
        ]
        has_tail = {"event": rows[name]["setting"] == "indoor"}
        for (_, part), columns in parts.items():
            tail = has_tail.get(part, part != "scene" and "R" in variant)
            assert len(columns) == 1 + tail
        # What belongs together has one gain; speaker 1 and event keep theirs.
        for (donor, part), columns in parts.items():
            one, *other = (gains[donor, column] for column in columns)
            assert not other or abs(one - other[0]) < 1e-3
            if (donor, part) == (name, "s1") or part == "event":
                assert abs(one - 1) < 1e-3
        speakers.sort(key=lambda key: key != (name, "s1"))
        dry = [heard[donor, f"{part}_wav"] for donor, part in speakers]
        powers = [np.mean(signal**2) for signal in dry]
        if len(dry) == 2:
            ratios.append(10 * math.log10(powers[0] / powers[1]))
        else:  # the second speaker counts, -5 to 5 dB weaker, but is not read
            powers.append(powers[0] * np.array([10**0.5, 10**-0.5]))
        if "S" in variant:
            (scene,) = (s for k, s in heard.items() if k[1] == "scene_wav")
            level = 10 * np.log10(np.mean(scene**2) / sum(powers))
            assert np.max(level) > -14.01 and np.min(level) < 0.01
        sources = {"ES": dry, "EB": [sum(dry)], "SB": dry}[task]
        found = references.numpy()
        assert np.allclose(found, np.stack(sources, 1), atol=1e-6)
    assert variants == set(VARIANTS)
    assert {d for d, part in donors if part == "scene"} == set(rows)
    assert {d for d, part in donors if part == "event"} == set(rows)
    if task != "ES":
        assert -5.01 < min(ratios) < -4 and 4 < max(ratios) < 5.01


def test_every_level_is_limited_by_one_gain(tmp_path):
    corpus = MadeCorpus(tmp_path, {"train": (0, 2)}, seconds=0.2)
    corpus.prepare("train")
    loud = load(tmp_path)
    for row in loud.values():
        for column in filter(row.get, PARTS):
            samples, rate = soundfile.read(row[column])
            soundfile.write(row[column], 8 * samples, rate)
    mixer = mixer_of(loud, remix=Remix(1.0), gain_db=6.0)
    peaks = []
    for epoch in range(1, 31):
        _, mixture, sources = item(mixer, loud, min(loud), epoch)
        gains, files = unmix(loud, mixture)
        peaks.append(np.abs(mixture.numpy()).max())
        parts = [g * np.abs(files[k]).max() for k, g in gains.items()]
        assert max(peaks[-1], *parts, sources.abs().max()) < 0.99901
        event = [g for k, g in gains.items() if k[1] == "event_wav"]
        assert all(
            abs(g / gains[min(loud), "s1_wav"] - 1) < 1e-3 for g in event
        )
    assert sum(p > 0.998 for p in peaks) > 10


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("speed", [0.9, 1.05])
def test_speech_alone_changes_its_speed(rows, task, speed):
    mixer = mixer_of(rows, task, speeds=[speed], segment_seconds=0.15)
    length = 1200
    down, up = {0.9: (9, 10), 1.05: (21, 20)}[speed]
    samples = math.ceil(length * down / up)
    letters = {"s1": "R", "s2": "R", "scene": "S", "event": "E"}
    for name, row in rows.items():
        for epoch in (1, 2, 3):
            variant, mixture, sources = item(mixer, rows, name, epoch)
            position = draw(1, epoch, name, "crop")
            played = {}
            for column in filter(row.get, PARTS):
                whole = soundfile.read(row[column], dtype="float32")[0]
                n = samples if column[:2] in ("s1", "s2") else length
                start = int(position * (len(whole) - n + 1))
                signal = torch.from_numpy(whole[start : start + n])
                if n != length:
                    signal = torchaudio.functional.resample(signal, down, up)
                played[column] = signal[:length]
            kept = {
                column
                for column, part in PARTS.items()
                if column in played
                and (column in DRY or letters[part] in variant)
                and (part != "s2" or task != "ES")
            }
            expected = sum(played[column] for column in kept)
            assert torch.allclose(mixture, expected, atol=1e-6)
            groups = [sum(played[c] for c in group) for group in TASKS[task]]
            assert torch.allclose(sources, torch.stack(groups, -1), atol=1e-6)


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_tone_that_is_played_faster_is_higher(speed):
    def tone(hertz, samples):
        return torch.sin(2 * torch.pi * hertz / 8000 * torch.arange(samples))

    found = change_speed(tone(500, 4000), Fraction(str(speed)))
    assert len(found) == math.ceil(4000 / speed)
    error = found - tone(500 * speed, len(found))
    assert error[50:-50].abs().max() < 2e-3


def test_speeds_are_drawn_for_each_speaker_and_may_be_none(rows):
    mixer = mixer_of(rows, speeds=[0.95, 1.0], segment_seconds=0.1)
    plain = mixer_of(rows, segment_seconds=0.1)
    name, changed = min(rows), Counter()
    for epoch in range(1, 101):
        sources = item(mixer, rows, name, epoch)[2]
        stored = item(plain, rows, name, epoch)[2]
        changed[tuple((sources != stored).any(0).tolist())] += 1
    assert len(changed) == 4 and min(changed.values()) > 10


def test_gain_and_polarity_are_those_of_the_whole_item(rows):
    plain, factors = mixer_of(rows), []
    mixer = mixer_of(rows, gain_db=6.0, flip_probability=0.5)
    for epoch in range(1, 101):
        found = item(mixer, rows, min(rows), epoch)
        stored = item(plain, rows, min(rows), epoch)
        factor = (found[1] @ stored[1] / stored[1].square().sum()).item()
        for signal, before in zip(found[1:], stored[1:]):
            assert torch.allclose(signal, factor * before, atol=1e-6)
        factors.append(factor)
    levels = 20 * np.log10(np.abs(factors))
    assert -6 <= levels.min() < -5 and 5 < levels.max() <= 6
    assert 35 < sum(f < 0 for f in factors) < 65
    for name in rows:
        found = item(mixer_of(rows, flip_probability=1.0), rows, name)
        stored = item(plain, rows, name)
        assert torch.equal(found[1], -stored[1])
        assert torch.equal(found[2], -stored[2])


def test_a_dry_mixture_keeps_its_parts_and_speed(rows):
    dry = {name: {**row, "setting": "dry"} for name, row in rows.items()}
    mixer = mixer_of(dry, remix=Remix(1.0), speeds=[0.9])
    for name in dry:
        assert same(item(mixer, dry, name), item(mixer_of(dry), dry, name))


def dataset_of(rows, seed=1):
    mixer = mixer_of(
        rows, remix=Remix(0.7), segment_seconds=0.15, seed=seed, **ALL_ON
    )
    mixer.rows = None
    dataset = SeededDataset(rows)
    dataset.add_dynamic_item(mixer, mixer.takes, mixer.provides)
    dataset.set_output_keys(["id", *mixer.provides])
    return dataset, mixer


def items_of(rows, epoch=3, seed=1, **loader):
    dataset, mixer = dataset_of(rows, seed)
    mixer.set_epoch(epoch)
    loader = SaveableDataLoader(dataset, collate_fn=lambda x: x[0], **loader)
    return {
        one["id"]: tuple(one[key] for key in mixer.provides) for one in loader
    }


@pytest.mark.promise(AUGMENTATION)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_order_and_threads_change_no_bit(rows, workers):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    expected = items_of(rows)
    torch.set_num_threads(threads)
    found = items_of(rows, num_workers=workers, sampler=[4, 0, 5, 2, 1, 3])
    assert all(same(found[name], expected[name]) for name in rows)


@pytest.mark.promise(AUGMENTATION, control=True)
@pytest.mark.parametrize("other", [{"epoch": 4}, {"seed": 2}])
def test_another_epoch_or_seed_gives_other_items(rows, other):
    expected, found = items_of(rows), items_of(rows, **other)
    assert not any(
        torch.equal(found[name][1], expected[name][1]) for name in rows
    )


def test_generators_are_seeded_for_a_subclass_alone(rows, monkeypatch):
    seeds = []
    seeded = random_state.seeded
    monkeypatch.setattr(
        random_state, "seeded", lambda n: seeds.append(n) or seeded(n)
    )
    dataset, mixer = dataset_of(rows)
    state = torch.get_rng_state()
    dataset[0]
    assert not seeds and torch.equal(state, torch.get_rng_state())
    mixer.__class__ = type("Mine", (AugmentingMixer,), {})
    dataset[0]
    assert len(seeds) == 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"remix": 0.5}, "remix: expected null.*found 0.5.*remix_probability"),
        ({"speeds": 1.05}, "speeds: expected a list, found 1.05"),
        ({"speeds": [1.0, 0]}, r"speeds\[1\]: expected .* 0.5 to 2, found 0"),
        ({"speeds": ["fast"]}, r"speeds\[0\]: .* found 'fast'"),
        ({"gain_db": -1}, "gain_db: expected a number from 0 to 40, found -1"),
        ({"flip_probability": 2}, "flip_probability: .* 0 to 1, found 2"),
        (
            {"speeds": [1.05], "segment_seconds": 0.2},
            "speeds: 1.05 times .* 0.2 is longer than 6 of 6 training mixtures,"
            " the shortest of 0.2 s; set --segment_seconds=0.19 or less",
        ),
        ({"speeds": [2]}, "segment_seconds of null .*=0.1 or less"),
    ],
)
def test_values_that_make_no_sense_are_named(rows, options, words):
    with pytest.raises(ValueError, match=words):
        mixer_of(rows, **options)


def test_the_length_that_an_error_names_works(rows):
    mixer = mixer_of(rows, speeds=[1.05], segment_seconds=0.19)
    assert len(item(mixer, rows, min(rows))[1]) == 1520


def test_another_dataset_is_an_error(rows):
    mixer = mixer_of(rows, remix=Remix(1.0))
    mixer.rows = None
    with pytest.raises(ValueError, match="SeededDataset"):
        item(mixer, rows, min(rows))


def test_the_yaml_switches_by_values():
    sizes = {"N": 8, "B": 4, "H": 8, "X": 1, "R": 1, "remix_probability": 0.5}
    one = hparams_of(**sizes, remix={"ssr_db": [0, 1]})["train_mixer"]
    assert one.remix.ssr_db == [0, 1] and one.remix.probability == 0.5
    none = hparams_of(**sizes, remix=None)["train_mixer"]
    assert none.remix is None and not none.recombines


@pytest.fixture(scope="module")
def undisturbed(server, once):
    return once(
        "augmented", lambda folder: server.succeed(folder, *FLAGS, workers=2)
    )


@pytest.mark.promise(MODEL)
def test_a_kill_changes_nothing(server, undisturbed, tmp_path):
    kill = [("fit_batch", 6, "SIGKILL")]
    server.run(tmp_path / "run", *FLAGS, code=-9, faults=kill)
    server.succeed(tmp_path / "run", *FLAGS)
    assert equal(tmp_path / "run", undisturbed)


@pytest.mark.promise(MODEL, control=True)
def test_another_seed_or_none_gives_another_model(
    server, undisturbed, whole, tmp_path
):
    server.succeed(tmp_path / "run", *FLAGS, "--seed=1")
    runs = (whole, undisturbed, tmp_path / "run")
    assert len(set(map(digest, runs))) == 3


@pytest.mark.nightly
@pytest.mark.promise(MODEL)
def test_null_is_the_model_without_a_remix(server, whole, tmp_path):
    server.succeed(tmp_path / "run", "--remix=null", "--remix_probability=1.0")
    assert equal(tmp_path / "run", whole)
