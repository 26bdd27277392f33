"""A corpus made from sources: files, sums, levels, options, the command."""

import itertools
import json
import os
import runpy
import subprocess
import sys

import numpy as np
import own_sources as sources
import pytest
import soundfile
from audit.full import audit
from own_sources import (
    RATE,
    contents,
    level_db,
    make,
    pool_of,
    rows_of,
    samples_of,
)
from paths import locked
from prepare_polsess import prepare_polsess
from recipe import ROOT, SAMPLES
from scipy.signal import resample_poly
from simulate.acoustics import SUBSETS
from simulate.audio import SegmentReader
from simulate.builtin import plan_sources
from simulate.corpus import row_files
from simulate.render import render_row
from simulate.reverb import plate_response
from simulate.segments import MIN_SPEECH_DBFS
from simulate.speech import read_sentences
from simulate.tables import SimulationError

RECIPE = ROOT / "recipes/PolSESS"
SCRIPT = RECIPE / "simulate/make_corpus.py"
FULL_DB = 20 * np.log10(32768)
# Name in the metadata -> dry file, its pre-delay, wet file.
PARTS = {
    "speech1": ("speaker1File", "preDelay1", "reverbForSpeaker1"),
    "speech2": ("speaker2File", "preDelay2", "reverbForSpeaker2"),
    "event": ("eventFile", "preDelayForEvent", "reverbForEvent"),
    "scene": ("sceneFile", None, None),
}


def findings(corpus, save_folder, splits=("train", "valid", "test")):
    """Rows of audit.csv after the full audit of a corpus."""
    prepare_polsess(corpus, save_folder, splits, audit=audit)
    return sources.read_table(save_folder / "audit.csv")


def sum_of(samples):
    """The sum of files, in integers that hold it."""
    return sum(part.astype(int) for part in samples.values())


def test_tree_holds_named_files_that_add_up_and_the_audit_nothing(
    corpus, tmp_path
):
    named = ["corpus.json", "sources_table.csv"]
    for subset, count in (("train", 12), ("val", 3), ("test", 3)):
        rows = rows_of(corpus, subset)
        assert len(rows) == count
        named += [f"{subset}/{n}" for r in rows for n in row_files(r).values()]
        named.append(f"{subset}/corpus_Mini_{subset}_final.csv")
    assert sorted(contents(corpus)) == sorted(named)
    names = {name.rpartition("/")[2] for name in named}
    assert len(names) == len(named)  # no two subsets draw the same
    for root, subset in itertools.product((corpus, SAMPLES), SUBSETS):
        for row in rows_of(root, subset):
            samples = samples_of(root, row)
            mixture = samples.pop("mixFile")
            assert len(samples) == (7 if row["reverbForEvent"] else 4)
            assert np.array_equal(mixture, sum_of(samples))
    for path in corpus.rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.channels) == (8000, 1)
        assert (header.frames, header.subtype) == (8000, "PCM_16")
    assert findings(corpus, tmp_path / "made") == []
    assert findings(SAMPLES, tmp_path / "samples") == []


def test_segments_count_from_one_and_are_mono_resampled_and_limited(tmp_path):
    ramp = np.arange(1, 20001, dtype=np.int16)  # sample n has the value n
    sides = np.stack([ramp + 100, ramp - 100], 1)
    soundfile.write(tmp_path / "ramp.wav", sides, 8000)
    read = SegmentReader(tmp_path, 8000, 0.5).read
    for end, n_missing in ((4010, 0), (4009, 1), (4011, 0)):
        expected = np.arange(11, 4011) / 32768
        expected[4000 - n_missing :] = 0
        assert np.allclose(read("ramp.wav", 11, end), expected, atol=1e-9)
    tone = 0.9999 * np.cos(2 * np.pi * np.arange(24000) / 48)
    soundfile.write(tmp_path / "tone.wav", tone, 48000)
    expected = 0.9999 * np.cos(2 * np.pi * np.arange(4000) / 8)
    found = read("tone.wav", 1, 24000)
    assert np.abs(found - expected)[100:-100].max() < 0.003
    assert np.abs(found).max() == 0.999


def test_files_are_the_segments_at_the_levels_of_the_row(corpus, own):
    reader = pool_of(own, segment_seconds=1.0).reader
    for row in rows_of(corpus):
        samples, gain_db = samples_of(corpus, row), {}
        for name, (column, _, _) in PARTS.items():
            place = int(row[f"{name}Start"]), int(row[f"{name}End"])
            segment = reader.read(row[f"{name}OryginalPath"], *place)
            assert np.corrcoef(segment, samples[column])[0, 1] > 0.999
            gain_db[name] = level_db(samples[column]) - level_db(segment)
        # One gain of the row limits it; none raises it.
        assert abs(gain_db["speech1"] - gain_db["event"]) < 0.1
        assert gain_db["event"] < FULL_DB + 0.1
        first, second = samples["speaker1File"], samples["speaker2File"]
        ssr_db = level_db(first) - level_db(second)
        assert abs(ssr_db - int(row["SSR"])) < 0.1
        scene_db = level_db(samples["sceneFile"])
        scene_db -= level_db(first.astype(float) + second)
        assert abs(scene_db - float(row["sceneOffsetDB"])) < 0.1


def test_reverberation_is_that_of_the_row(corpus):
    rows = [row for row in rows_of(corpus) if row["reverbForEvent"]]
    assert len(rows) > 2
    for row in rows:
        samples = samples_of(corpus, row)
        room = ("highCut", "diffusion", "decay", "freqDamp")
        room = [float(row[column]) for column in room]
        response = plate_response(8000, 8000, *room)
        for dry, delay, wet in list(PARTS.values())[:3]:
            start = round(float(row[delay]) * 8000)
            expected = np.convolve(samples[dry], response)[: 8000 - start]
            assert not samples[wet][:start].any()
            error = samples[wet][start:] - expected
            assert level_db(error) < 6 and level_db(expected) > 26


def test_loud_row_keeps_its_ratios_and_its_sum(corpus, own):
    reader = pool_of(own, segment_seconds=1.0).reader
    row = next(row for row in rows_of(corpus) if row["reverbForEvent"])
    quiet = render_row(row, reader)
    row["sceneVolumeGain"] = 400 * float(row["sceneVolumeGain"])
    loud = render_row(row, reader)
    peak = max(np.abs(part.astype(int)).max() for part in loud.values())
    assert 32700 < peak <= round(0.999 * 32768) + 4
    assert np.array_equal(loud.pop("mixFile"), sum_of(loud))
    del loud["sceneFile"]
    gains_db = [level_db(loud[name]) - level_db(quiet[name]) for name in loud]
    assert max(gains_db) < -1 and np.ptp(gains_db) < 0.2


def test_softest_usable_speech_and_loudest_event_pass_the_audit(tmp_path):
    table = sources.write_sources(tmp_path)
    reader = pool_of(table, segment_seconds=1.0).reader
    for speaker in ("train_anna", "train_jan"):
        # The first second is as loud as the others within 1 dB.
        level = level_db(reader.read(f"audio/train/{speaker}/1.wav", 1, RATE))
        gain = 10 ** ((MIN_SPEECH_DBFS + 0.5 - level) / 20)
        sources.rewrite(table, speaker, lambda signal: gain * signal)
    noise = np.random.default_rng(0).uniform(-0.999, 0.999, (3 * RATE, 1))
    sources.rewrite(table, "Keys_jangling", lambda _: noise.repeat(2, axis=1))
    root = tmp_path / "Mini"
    counts = {"n_train": 24, "n_val": 0, "n_test": 0}
    make(root, **counts, sources=table, indoor_ratio=1.0)
    rows = rows_of(root)
    assert "5" in {row["SSR"] for row in rows}
    levels = [
        level_db(samples_of(root, row)[column]) - FULL_DB
        for row in rows
        for column in ("speaker1File", "speaker2File")
    ]
    # The mixtures were limited: no speaker 2 is as loud as a segment.
    assert -50 < min(levels) < MIN_SPEECH_DBFS - 5
    found = findings(root, tmp_path / "manifests", ["train"])
    assert "near-silent speech" not in {row["check"] for row in found}


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("Mini", {"seed": 4}, "seed: 3 there, 4 now"),
        ("Mini", {"sample_rate": 16000}, "sample_rate: 8000 there, 16000 now"),
        ("Mini", {"segment_seconds": 2}, "segment_seconds: 1.0 there, 2.0 now"),
        ("Mini", {"indoor_ratio": 0.9}, "indoor_ratio: 0.5 there, 0.9 now"),
        ("Mini", {"sources": None}, "a table there, built-in now"),
        ("Mini", {"event_range_db": (-9, 0)}, "None there, [-9.0, 0.0] now"),
        ("New", {"event_range_db": (3, 0)}, "--event_range_db is 3 0, exp"),
        ("New", {"sources": "."}, "a folder, expected a table (CSV)"),
        ("New", {"class_map": "none.csv"}, "none.csv: no such file"),
        ("New", {"sources": "none.csv"}, "none.csv: no such file"),
        (
            "New",
            {"segment_seconds": 5.0},
            "train: expected two speakers: 0 speaker",
        ),
        ("New", {"n_train": -1}, "--n_train is -1, expected 0 or more"),
        ("New", {"n_train": 0, "n_val": 0, "n_test": 0}, "all 0"),
        ("New", {"seed": -2}, "--seed is -2"),
        ("New", {"sample_rate": 44100}, "choose from 8000, 16000"),
        ("New", {"segment_seconds": 0.4}, "is 0.4, expected 0.5 to 60"),
        ("New", {"segment_seconds": "nan"}, "expected 0.5 to 60"),
        ("New", {"indoor_ratio": 1.5}, "is 1.5, expected 0 to 1"),
        ("New", {"n_jobs": 0}, "--n_jobs is 0"),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_changes(
    corpus, own, capsys, name, change, message
):
    before = sources.times(corpus.parent)
    with pytest.raises((SimulationError, SystemExit)) as caught:
        options = {"n_train": 99, "sources": own, **change}
        make(corpus.parent / name, **options)
    assert message in str(caught.value) + capsys.readouterr().err
    assert sources.times(corpus.parent) == before
    assert not (corpus.parent / "New").exists()


def test_corpus_of_another_origin_is_not_touched(own, tmp_path):
    (tmp_path / "A/train/mix").mkdir(parents=True)
    (tmp_path / "B").touch()
    for name in "AB":
        with pytest.raises(SimulationError, match="not made by this command"):
            make(tmp_path / name, sources=own)
    assert list(contents(tmp_path)) == ["B"]


def test_a_corpus_is_made_by_one_process(corpus, own):
    before = contents(corpus)
    with locked(corpus / "corpus.json"):
        with pytest.raises(SimulationError, match="another process makes"):
            make(corpus, n_train=99, sources=own)
    assert contents(corpus) == before


def test_script_says_an_error_without_a_traceback(corpus, own, monkeypatch):
    arguments = sources.words(corpus, sources=own, seed=9)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with pytest.raises(SystemExit, match="^make_corpus: .* other options"):
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_documented_command_completes_its_built_in_sources(
    tmp_path, monkeypatch
):
    missing = {
        *("speech/train/steph3/steph3_2.wav", "events/test/Dog/Dog_2.wav"),
        "envScene/val/h/h_1.wav",
    }
    plan = plan_sources(12.0)
    # All others are there, as after an interruption; they are copies of one.
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * 16000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000, "PCM_16")
    roots = tmp_path / "MyPolSESS", tmp_path / "again/MyPolSESS"
    for root in roots:
        for row in plan:
            path = root / "sources" / row["filePath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if row["filePath"] not in missing:
                os.link(tmp_path / "noise.wav", path)
        (root / "sources/.a_killed.partial").mkdir()
    readme = (RECIPE / "README.md").read_text(encoding="utf-8")
    command = readme.split("python simulate/")[1].split("```")[0]
    given = command.replace("\\", "").split()
    assert " ".join(given[1::2]) == (
        "--output_folder --n_train --n_val --n_test --seed"
    )
    given[2::2] = [str(roots[0]), "3", "1", "0", "1"]
    given += ["--segment_seconds=1", "--sample_rate=16000", "--n_jobs=2"]
    command = [sys.executable, f"simulate/{given[0]}", *given[1:]]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(command, cwd=RECIPE, env=environment, check=True)
    made = sources.look(roots[0] / "sources", lambda p: p.stat().st_nlink == 1)
    assert {name for name in made if made[name]} == {*missing, "sources.csv"}
    assert set(made) == {row["filePath"] for row in plan} | {"sources.csv"}
    for name in missing:
        samples, rate = soundfile.read(roots[0] / "sources" / name)
        assert len(samples) == 12 * rate == 12 * 16000
        loud = samples[np.abs(samples) > 1e-4]
        assert "events" in name or len(loud) > 6 * 16000
        assert "speech" not in name or 0.042 < np.std(loud) < 0.085
    table = sources.read_table(roots[0] / "sources/sources.csv")
    assert table == [{k: str(v) for k, v in row.items()} for row in plan]
    record = json.loads((roots[0] / "corpus.json").read_text())
    assert record["engine"].startswith("espeakng-loader ")
    header = soundfile.info(next(roots[0].glob("train/mix/*.wav")))
    assert (header.samplerate, header.frames) == (16000, 16000)
    # In one process, with a shorter train and another test: the same bytes.
    spoken, run = [], subprocess.run

    def listen(*arguments, **options):
        result = run(*arguments, **options)
        spoken.append((json.loads(options["input"]), result.stdout[4:]))
        return result

    monkeypatch.setattr(subprocess, "run", listen)
    options = {"seed": 1, "sample_rate": 16000, "sources": None}
    make(roots[1], n_train=2, n_val=1, n_test=1, **options)
    asked, sound = spoken[-1]
    assert set(asked["text"].split("\n")) <= set(read_sentences()["train"])
    sound = resample_poly(np.frombuffer(sound, np.int16) / 1.0, 320, 441)
    found = soundfile.read(
        roots[1] / "sources/speech/train/steph3/steph3_2.wav"
    )
    assert np.corrcoef(found[0], sound[: 12 * 16000])[0, 1] > 0.999
    larger, smaller = contents(roots[0]), contents(roots[1])
    assert {n for n in smaller if n not in larger} == {
        f"test/{name}" for name in contents(roots[1] / "test")
    }
    rows = "train/corpus_MyPolSESS_train_final.csv"
    assert larger[rows].startswith(smaller.pop(rows))
    for name in larger.keys() & smaller.keys():
        assert larger[name] == smaller[name]
