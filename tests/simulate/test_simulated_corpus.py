"""A corpus made from sources: files, sums, levels, options, the command."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from audit.full import audit
from prepare_polsess import prepare_polsess
from recipe import ROOT, SAMPLES
from simulate.audio import SegmentReader, rms
from simulate.builtin import make_sources, plan_sources
from simulate.corpus import row_files
from simulate.render import render_row
from simulate.reverb import plate_response
from simulate.segments import MIN_SPEECH_DBFS, NEAR_SILENT_DBFS
from simulate.sources import SimulationError
from sources import (
    RATE,
    contents,
    files,
    level_dbfs,
    make,
    pool_of,
    read_table,
    rewrite,
    rows_of,
    samples_of,
    times,
    words,
    write_sources,
)

RECIPE = ROOT / "recipes/PolSESS"
SUBSETS = ("train", "val", "test")
PARTS = {
    "speech1": ("speaker1File", "preDelay1", "reverbForSpeaker1"),
    "speech2": ("speaker2File", "preDelay2", "reverbForSpeaker2"),
    "event": ("eventFile", "preDelayForEvent", "reverbForEvent"),
}


def findings(corpus, save_folder, splits=("train", "valid", "test")):
    """Rows of audit.csv after the full audit of a corpus."""
    prepare_polsess(corpus, save_folder, splits, audit=audit)
    return read_table(save_folder / "audit.csv")


def test_tree_holds_what_the_tables_name_and_nothing_else(corpus):
    named = {"corpus.json"}
    for subset, count in (("train", 12), ("val", 3), ("test", 3)):
        rows = rows_of(corpus, subset)
        assert len(rows) == count
        wavs = [
            f"{subset}/{n}" for row in rows for n in row_files(row).values()
        ]
        assert named.isdisjoint(wavs) and len(set(wavs)) == len(wavs)
        named |= {*wavs, f"{subset}/corpus_Mini_{subset}_final.csv"}
    assert set(times(corpus)) == named
    names = [name.rpartition("/")[2] for name in named]
    assert len(set(names)) == len(names)  # subsets draw differently
    for path in corpus.rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.channels) == (8000, 1)
        assert (header.frames, header.subtype) == (8000, "PCM_16")


@pytest.mark.parametrize("subset", SUBSETS)
def test_mixture_is_the_integer_sum_of_its_files(corpus, subset):
    for root in (corpus, SAMPLES):
        for row in rows_of(root, subset):
            samples = samples_of(root, row)
            mixture = samples.pop("mixFile").astype(int)
            assert len(samples) == (7 if row["reverbForEvent"] else 4)
            total = sum(part.astype(int) for part in samples.values())
            assert np.array_equal(mixture, total)


def test_full_audit_has_no_findings(corpus, tmp_path):
    assert findings(corpus, tmp_path / "made") == []
    assert findings(SAMPLES, tmp_path / "samples") == []


def test_segments_count_from_one_and_are_mono_resampled_and_limited(tmp_path):
    ramp = np.arange(1, 20001, dtype=np.int16)  # sample n has the value n
    left_and_right = np.stack([ramp + 100, ramp - 100], 1)
    soundfile.write(tmp_path / "ramp.wav", left_and_right, 8000)
    read = SegmentReader(tmp_path, 8000, 0.5).read
    expected = np.arange(11, 4011) / 32768
    assert np.allclose(read("ramp.wav", 11, 4010), expected, atol=1e-9)
    assert len(read("ramp.wav", 11, 4009)) == len(read("ramp.wav", 1, 4001))
    time = np.arange(22050) / 44100
    tone = 0.9999 * np.cos(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "tone.wav", tone, 44100)
    resampled = read("tone.wav", 1, 22050)[100:-100]
    expected = 0.9999 * np.cos(2 * np.pi * 440 * np.arange(100, 3900) / 8000)
    expected = np.clip(expected, -0.999, 0.999)
    assert np.allclose(resampled, expected, atol=0.003)
    assert np.abs(resampled).max() == 0.999


def test_files_are_the_segments_at_the_levels_of_the_row(corpus, own):
    reader = pool_of(own, segment_seconds=1.0).reader
    for row in rows_of(corpus):
        samples = samples_of(corpus, row)
        gain_db = {}
        names = ("speech1", "speech2", "event", "scene")
        columns = ("speaker1File", "speaker2File", "eventFile", "sceneFile")
        for name, column in zip(names, columns):
            place = row[f"{name}Start"], row[f"{name}End"]
            segment = reader.read(row[f"{name}OryginalPath"], *map(int, place))
            assert np.corrcoef(segment, samples[column])[0, 1] > 0.999
            gain_db[name] = level_dbfs(samples[column])
            gain_db[name] -= level_dbfs(32768 * segment)
        # One gain of the row limits it; none raises it.
        assert abs(gain_db["speech1"] - gain_db["event"]) < 0.1
        assert gain_db["event"] < 0.1
        first, second = samples["speaker1File"], samples["speaker2File"]
        ssr_db = level_dbfs(first) - level_dbfs(second)
        assert abs(ssr_db - int(row["SSR"])) < 0.1
        scene_db = level_dbfs(samples["sceneFile"])
        scene_db -= level_dbfs(first.astype(float) + second)
        assert abs(scene_db - float(row["sceneOffsetDB"])) < 0.1


def test_reverberation_is_that_of_the_row(corpus):
    rows = [row for row in rows_of(corpus) if row["reverbForEvent"]]
    assert len(rows) > 2
    for row in rows:
        samples = samples_of(corpus, row)
        columns = ("highCut", "diffusion", "decay", "freqDamp")
        room = [float(row[column]) for column in columns]
        response = plate_response(8000, 8000, *room)
        for dry, delay, wet in PARTS.values():
            start = round(float(row[delay]) * 8000)
            expected = np.convolve(samples[dry], response)[: 8000 - start]
            assert not samples[wet][:start].any()
            error = samples[wet][start:] - expected
            assert rms(error) < 2 and rms(expected) > 20


def test_loud_row_keeps_its_ratios_and_its_sum(corpus, own):
    reader = pool_of(own, segment_seconds=1.0).reader
    row = next(row for row in rows_of(corpus) if row["reverbForEvent"])
    quiet = render_row(row, reader)
    row["sceneVolumeGain"] = 400 * float(row["sceneVolumeGain"])
    loud = render_row(row, reader)
    peak = max(np.abs(part.astype(int)).max() for part in loud.values())
    assert 32700 < peak <= round(0.999 * 32768) + 4
    mixture = loud.pop("mixFile").astype(int)
    assert np.array_equal(mixture, sum(p.astype(int) for p in loud.values()))
    gains_db = [
        level_dbfs(loud[column]) - level_dbfs(quiet[column])
        for column in loud
        if column != "sceneFile"
    ]
    assert max(gains_db) < -1 and np.ptp(gains_db) < 0.2


def test_softest_usable_speech_and_loudest_event_pass_the_audit(tmp_path):
    table = write_sources(tmp_path)
    reader = pool_of(table, segment_seconds=1.0).reader
    for speaker in ("train_anna", "train_jan"):
        # The first second is as loud as the others within 1 dB.
        path = f"audio/train/{speaker}/1.wav"
        level = level_dbfs(32768 * reader.read(path, 1, RATE))
        gain = 10 ** ((MIN_SPEECH_DBFS + 0.5 - level) / 20)
        rewrite(table, speaker, lambda signal: gain * signal)
    noise = np.random.default_rng(0).uniform(-0.999, 0.999, (3 * RATE, 1))
    rewrite(table, "Keys_jangling", lambda _: np.repeat(noise, 2, axis=1))
    root = tmp_path / "Mini"
    make(root, 24, 0, 0, sources=table, indoor_ratio=1.0)
    rows = rows_of(root)
    assert "5" in {row["SSR"] for row in rows}
    levels = [
        level_dbfs(samples_of(root, row)[column])
        for row in rows
        for column in ("speaker1File", "speaker2File")
    ]
    # The mixtures were limited: no speaker 2 is as loud as a segment.
    assert NEAR_SILENT_DBFS < min(levels) < MIN_SPEECH_DBFS - 5
    found = findings(root, tmp_path / "manifests", ["train"])
    assert "near-silent speech" not in {row["check"] for row in found}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": 4}, "seed: 3 there, 4 now"),
        ({"sample_rate": 16000}, "sample_rate: 8000 there, 16000 now"),
        ({"segment_seconds": 2.0}, "segment_seconds: 1.0 there, 2.0 now"),
        ({"indoor_ratio": 0.9}, "indoor_ratio: 0.5 there, 0.9 now"),
        ({"sources": None}, "built-in now"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(
    corpus, own, change, message
):
    before = times(corpus)
    with pytest.raises(SimulationError, match=message):
        make(corpus, 99, **{"sources": own, **change})
    assert times(corpus) == before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_train": -1}, "--n_train is -1, expected 0 or more"),
        ({"n_train": 0, "n_val": 0, "n_test": 0}, "all 0"),
        ({"seed": -2}, "--seed is -2"),
        ({"sample_rate": 44100}, "choose from 8000, 16000"),
        ({"segment_seconds": 0.4}, "--segment_seconds is 0.4, expected 0.5 to"),
        ({"segment_seconds": "nan"}, "expected 0.5 to 60"),
        ({"indoor_ratio": 1.5}, "--indoor_ratio is 1.5, expected 0 to 1"),
        ({"n_jobs": 0}, "--n_jobs is 0"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, capsys, change, message):
    with pytest.raises(SystemExit):
        make(tmp_path / "New", **change)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sources": "none.csv"}, "none.csv: no such file"),
        ({"segment_seconds": 5.0}, "train: 0 speaker"),
    ],
)
def test_refused_sources_leave_no_folder(own, tmp_path, change, message):
    with pytest.raises(SimulationError, match=message):
        make(tmp_path / "New", **{"sources": own, **change})
    assert not (tmp_path / "New").exists()


def test_corpus_of_another_origin_is_not_touched(own, tmp_path):
    (tmp_path / "A/train/mix").mkdir(parents=True)
    (tmp_path / "B").touch()
    for name in "AB":
        with pytest.raises(SimulationError, match="not made by this command"):
            make(tmp_path / name, sources=own)
    assert list(contents(tmp_path)) == ["B"]


def test_script_at_16_khz_and_its_errors(own, tmp_path, monkeypatch, capsys):
    script = RECIPE / "simulate/make_corpus.py"

    def run(**options):
        counts = {"n_train": 2, "n_val": 0, "n_test": 0, "sources": own}
        command = [script, *words(tmp_path / "Wide", **counts, **options)]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        monkeypatch.setattr(sys, "path", ["", *sys.path])
        runpy.run_path(str(script), run_name="__main__")

    run(sample_rate=16000)
    assert capsys.readouterr().out == f"{tmp_path / 'Wide'}: complete\n"
    for path in (tmp_path / "Wide/train").rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.frames) == (16000, 16000)
    with pytest.raises(SystemExit, match="^make_corpus: .* other options"):
        run()


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The corpus of the documented command, whose sources nearly exist.

    All but three recordings are copies of one, as sources of an interrupted
    command; it makes the others, in two processes.
    """
    folder = tmp_path_factory.mktemp("documented")
    rng = np.random.default_rng(0)
    made = 0.1 * rng.standard_normal(12 * 16000)
    soundfile.write(folder / "made.wav", made, 16000, "PCM_16")
    for name in ("MyPolSESS", "again/MyPolSESS"):
        for row in plan_sources(12.0):
            path = folder / name / "sources" / row["filePath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if row["filePath"] not in MISSING:
                os.link(folder / "made.wav", path)
        (folder / name / "sources/speech/.a.wav.1.partial").touch()
    readme = (RECIPE / "README.md").read_text(encoding="utf-8")
    command = readme.split("python simulate/make_corpus.py")[1].split("```")[0]
    given = command.replace("\\", "").split()
    assert given[::2] == [
        *("--output_folder", "--n_train", "--n_val", "--n_test", "--seed")
    ]
    given[1::2] = [folder / "MyPolSESS", "3", "1", "0", "1"]
    given += ["--segment_seconds", "1", "--n_jobs", "2"]
    script = [sys.executable, "simulate/make_corpus.py", *given]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(script, cwd=RECIPE, env=environment, check=True)
    return folder / "MyPolSESS"


MISSING = {
    "speech/train/steph3/steph3_2.wav": "speech",
    "envScene/val/h/h_1.wav": "envScene",
    "events/test/Dog/Dog_2.wav": "events",
}


def test_documented_command_makes_what_is_missing(documented):
    sources = documented / "sources"
    made = files(sources, lambda path: path.stat().st_nlink == 1)
    assert {name for name in made if made[name]} == {*MISSING, "sources.csv"}
    plan = [{k: str(v) for k, v in r.items()} for r in plan_sources(12.0)]
    assert read_table(sources / "sources.csv") == plan
    assert set(made) == {row["filePath"] for row in plan} | {"sources.csv"}
    for name, role in MISSING.items():
        samples, rate = soundfile.read(sources / name)
        assert len(samples) == 12 * rate == 12 * 16000
        loud = np.abs(samples) > 1e-4
        assert role == "events" or loud.mean() > 0.5
        if role == "speech":
            assert abs(20 * np.log10(rms(samples[loud]) / 0.06)) < 3.1
    assert len(rows_of(documented)) == 3
    assert not (documented / "test").exists()


def test_same_bytes_with_one_job_and_other_recordings(documented):
    again = documented.parent / "again/MyPolSESS"
    make(again, 2, 1, 1, seed=1, sources=None)
    smaller, larger = contents(again), contents(documented)
    table = "train/corpus_MyPolSESS_train_final.csv"
    assert larger[table].startswith(smaller.pop(table))
    other = [name for name in smaller if name.startswith("test/")]
    assert other and all(smaller.pop(name) for name in other)
    assert all(larger[name] == value for name, value in smaller.items())
