"""The command: table, report, refusals, and a corpus made of the table."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import paths
import pytest
import soundfile
import source_trees as trees
from audit.full import audit
from own_sources import make
from prepare_polsess import prepare_polsess
from recipe import ROOT
from simulate.acoustics import SUBSETS
from simulate.sources import read_sources
from simulate.tables import SimulationError
from sources.adapters import audio_files
from sources.make_sources import COLUMNS, make_sources, parse_arguments

SCRIPT = ROOT / "recipes/PolSESS/sources/make_sources.py"


@pytest.fixture(scope="session")
def data(once):
    """Speech, scenes and events of all kinds; no test changes them."""

    def make_all(folder):
        trees.make_mls(folder / "mls", 0.6)
        trees.make_emu(folder / "emu", 1.2)
        trees.make_nemo(folder / "nemo", 0.5)
        trees.make_tau(folder / "tau")
        trees.make_wham(folder / "wham")
        trees.make_demand(folder / "demand")
        trees.make_scenes(folder / "scenes")
        trees.make_esc50(folder / "esc", 0.6)
        trees.make_fsd50k(folder / "fsd")
        trees.make_events(folder / "events")

    return once("data", make_all)


def words(data, output, **options):
    """Options of the command: three usual sources, changed by options."""
    options = {
        "speech": ["nemo=nemo"],
        "scenes": ["folder=scenes"],
        "events": ["folder=events"],
        "segment_seconds": 1.0,
        "n_jobs": 1,
        **options,
    }
    found = [f"--output={output}"]
    for name, values in options.items():
        if name in ("speech", "scenes", "events"):
            pairs = [value.partition("=") for value in values]
            values = [f"{a}={data / c}" if b else a for a, b, c in pairs]
        elif not isinstance(values, list):
            values = [values]
        found += [f"--{name}={value}" for value in values]
    return found


def run(data, output, **options):
    """Makes a table as the command does; returns its rows."""
    make_sources(parse_arguments(words(data, output, **options)))
    return read_rows(output)


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def report_of(table):
    return read_rows(table.with_name(f"{table.stem}_report.csv"))


def test_a_table_of_everything_and_a_corpus_without_findings(data, tmp_path):
    table = tmp_path / "sources.csv"
    rows = run(
        data,
        table,
        speech=["mls=mls", "nemo=nemo", "clarin=emu"],
        scenes=["tau2019=tau", "wham=wham", "demand=demand", "folder=scenes"],
        events=["esc50=esc", "fsd50k=fsd", "folder=events"],
    )
    assert list(rows[0]) == list(COLUMNS)
    # The generator accepts each row, and with it speakers and recordings
    # that are in one subset only.
    assert len(read_sources(table)) == len(rows)
    report = report_of(table)
    n_found = sum(len(audio_files(folder)) for folder in data.iterdir())
    assert sum(int(row["files"]) for row in report) == n_found
    taken = {
        (row["role"], row["source"], row["subset_or_reason"])
        for row in report
        if row["state"] == "taken"
    }
    assert {("envScene", "demand", s) for s in SUBSETS} <= taken
    make(tmp_path / "Mini", sources=table, n_train=6, n_jobs=1)
    splits = ["train", "valid", "test"]
    prepare_polsess(tmp_path / "Mini", tmp_path / "save", splits, audit=audit)
    assert read_rows(tmp_path / "save/audit.csv") == []


def test_speakers_are_in_one_subset_and_named_by_source(data, tmp_path):
    rows = run(data, tmp_path / "t.csv", speech=["mls=mls", "nemo=nemo"])
    speech = [row for row in rows if row["role"] == "speech"]
    subset_of = {}
    for row in speech:
        speaker = row["speaker"]
        assert subset_of.setdefault(speaker, row["subset"]) == row["subset"]
    assert subset_of["mls-01"] == "train" and subset_of["mls-22"] == "test"
    assert len(subset_of) == 6 + 9
    nemo = [s for name, s in subset_of.items() if name.startswith("nemo-A")]
    assert sorted(map(nemo.count, SUBSETS)) == [2, 2, 5]
    # Utterances of 0.5 s became one recording of each speaker.
    assert len(speech) == len(subset_of)
    assert all(float(row["duration"]) >= 1.0 for row in speech)


def test_a_gain_brings_the_table_to_a_common_level(data, tmp_path):
    for row in run(data, tmp_path / "t.csv"):
        signal = soundfile.read(tmp_path / row["filePath"])[0]
        level = 10 * np.log10(np.mean(signal[signal != 0] ** 2))
        if row["role"] == "speech":
            level += float(row["gainDB"])
            assert level == pytest.approx(-26, abs=0.3)
        else:
            assert float(row["gainDB"]) == 0


def test_again_and_in_processes_gives_the_same_bytes(data, tmp_path):
    table = tmp_path / "t.csv"
    run(data, table)

    def state():
        files = [p for p in sorted(tmp_path.rglob("*")) if p.is_file()]
        return {p: p.read_bytes() for p in files}

    before = state()
    joined = sorted((tmp_path / "t_joined").rglob("*.flac"))
    times = [path.stat().st_mtime_ns for path in joined]
    # A kill leaves such a folder.
    (tmp_path / ".a_killed.partial").mkdir()
    (tmp_path / ".a_killed.partial/t_csv").write_bytes(b"half")
    paths._remove_leftovers.cache_clear()
    run(data, table, n_jobs=2)
    assert state() == before and joined
    assert [path.stat().st_mtime_ns for path in joined] == times


def test_nothing_is_left_out_in_silence(data, tmp_path, capsys):
    events, speech = tmp_path / "events", tmp_path / "speech"
    trees.make_events(events)
    trees.make_nemo(speech, 0.5)
    trees.noise(events / "dog/short.wav", 0.3)
    trees.noise(events / "dog/quiet.wav", 1.2, level=1e-5)
    trees.noise(events / "zebras/a.wav", 1.2)
    trees.noise(events / "speech/a.wav", 1.2)
    copy = (events / "Rainfall/take 0.ogg").read_bytes()
    (events / "dog/take 9.ogg").write_bytes(copy)
    (events / "dog/broken.flac").write_bytes(b"fLaC" + copy[:50])
    (events / "dog/phone.m4a").write_bytes(b"0")
    trees.noise(speech / "nobody.wav", 1.2)
    trees.noise(speech / "ZZ0_joy_1.wav", 0.6)
    table = tmp_path / "t.csv"
    run(
        tmp_path,
        table,
        speech=["nemo=speech"],
        scenes=[f"folder={data}/scenes"],
    )
    left_out = {
        row["subset_or_reason"]: row
        for row in report_of(table)
        if row["state"] == "left out"
    }
    assert {
        reason.partition(" (")[0]: row["files"]
        for reason, row in left_out.items()
    } == {
        "too short": "1",
        "too quiet": "1",
        "class unknown": "1",
        "a voice is heard": "1",
        "duplicate of another file": "1",
        "unreadable": "1",
        ".m4a cannot be read: convert with ffmpeg -i in.m4a out.wav": "1",
        "no speaker": "1",
        "too short, all utterances of the speaker together": "1",
    }
    assert left_out["no speaker"]["examples"] == str(speech / "nobody.wav")
    files = sum(int(row["files"]) for row in report_of(table))
    assert files == sum(
        map(lambda f: len(audio_files(f)), (events, speech, data / "scenes"))
    )
    text = capsys.readouterr().out
    assert "events 'zebras': 1 files" in text and "too short" in text


def test_without_joining_short_utterances_are_left_out(data, tmp_path, capsys):
    options = words(
        data, tmp_path / "t.csv", speech=["clarin=emu", "nemo=nemo"]
    )
    make_sources(parse_arguments([*options, "--no-join_utterances"]))
    rows = read_rows(tmp_path / "t.csv")
    assert {r["source"] for r in rows if r["role"] == "speech"} == {"clarin"}
    assert "speech nemo: left out too short (below 1 s): 27 files" in (
        capsys.readouterr().out
    )


def test_sessions_of_one_person_by_a_list_and_own_speakers(data, tmp_path):
    spk = tmp_path / "utt2spk"
    people = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6}
    lines = [f"SES{s:04} SPK{p:04}\n" for s, p in people.items()]
    spk.write_text("".join(lines), encoding="utf-8")
    rows = run(
        data,
        tmp_path / "t.csv",
        speech=["clarin=emu", "folder:own=nemo/samples"],
        speaker_from=[f"clarin=csv:{spk}", "name:^(A.)0_"],
    )
    speakers = {row["speaker"] for row in rows if row["speaker"]}
    assert speakers == {f"clarin-SPK{n:04}" for n in range(1, 7)} | {
        f"own-A{letter}" for letter in "ABCDEFGHI"
    }


def test_without_official_split_speakers_are_drawn(data, tmp_path):
    options = words(data, tmp_path / "t.csv", speech=["mls=mls"])
    make_sources(parse_arguments([*options, "--no-official_split", "--seed=1"]))
    rows = read_rows(tmp_path / "t.csv")
    subsets = {r["speaker"]: r["subset"] for r in rows if r["speaker"]}
    assert list(map(list(subsets.values()).count, SUBSETS)) == [2, 2, 2]
    assert subsets != {
        f"mls-{n}{k}": s for n, s in enumerate(SUBSETS) for k in "12"
    }


def test_a_class_map_gives_scenes_of_ones_own(data, tmp_path):
    class_map = tmp_path / "map.csv"
    class_map.write_text(
        "role,class,scenes,like\nenvScene,cellar,,home\n"
        "events,Keys_jangling,cellar,\n",
        encoding="utf-8",
    )
    for number in range(3):
        trees.noise(tmp_path / f"scenes/Cellar/{number}.wav", 1.5)
    rows = run(
        data,
        tmp_path / "t.csv",
        scenes=["folder=scenes", f"folder:mine={tmp_path}/scenes"],
        class_map=class_map,
    )
    mine = [r for r in rows if r["source"] == "mine"]
    assert {r["class"] for r in mine} == {"cellar"}
    assert {r["subset"] for r in mine} == set(SUBSETS)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"speech": ["mls=none"]}, "no such folder"),
        ({"speech": ["lrs=mls"]}, "NAME one of mls, commonvoice, clarin"),
        ({"speech": ["mls"]}, "expected NAME=FOLDER"),
        ({"speech": []}, "--speech is missing"),
        ({"events": []}, "--events is missing"),
        ({"speech": ["folder=mls", "folder=emu"]}, "folder:mine="),
        ({"speech": ["folder:a/b=mls"]}, "expected letters, digits"),
        ({"speech": ["mls=emu"]}, "expected train/audio, dev/audio"),
        ({"speaker_from": "who"}, "expected parent, name:REGEX or csv:FILE"),
        ({"speaker_from": "mls=parent"}, "no such source of speech; there is"),
        ({"events": ["folder=empty"]}, "folder has no audio files there"),
        ({"class_map": "none.csv"}, "none.csv: no such file"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    data, tmp_path, options, message
):
    (tmp_path / "empty").mkdir()
    if options.get("events"):
        options = {"events": [f"folder={tmp_path / 'empty'}"]}
    with pytest.raises(SimulationError) as caught:
        run(data, tmp_path / "t.csv", **options)
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "0.8,0.2"}, "expected shares of train, val, test"),
        ({"split": "0,0.5,0.5"}, "that of train above 0"),
        ({"split": "a,b,c"}, "expected shares"),
        ({"segment_seconds": 0}, "--segment_seconds: expected 0.5 to 60"),
        ({"min_event_seconds": 9}, "at most --segment_seconds"),
        ({"n_jobs": 0}, "--n_jobs is 0"),
    ],
)
def test_options_out_of_range(data, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        run(data, tmp_path / "t.csv", **options)
    assert message in capsys.readouterr().err


def test_a_subset_without_speakers_says_what_to_do(data, tmp_path, capsys):
    trees.make_nemo(tmp_path / "few", 0.5, speakers=3)
    options = {"speech": [f"nemo={tmp_path}/few"]}
    with pytest.raises(SimulationError) as caught:
        run(data, tmp_path / "t.csv", **options)
    assert "2 problem(s)" in str(caught.value)
    assert "val: 0 speaker(s), a mixture needs 2" in str(caught.value)
    assert "nemo: taken train" in capsys.readouterr().out
    assert not (tmp_path / "t.csv").exists()
    rows = run(data, tmp_path / "t.csv", split="1,0,0", **options)
    assert {row["subset"] for row in rows} == {"train"}


def test_a_scene_without_events_and_a_missing_setting_are_said(
    data, tmp_path, capsys
):
    for number in range(6):
        trees.noise(tmp_path / f"events/boiling water/{number}.wav", 1.2)
    rows = run(data, tmp_path / "t.csv", events=[f"folder={tmp_path}/events"])
    scenes = {row["class"] for row in rows if row["role"] == "envScene"}
    assert scenes == {"cafe/restaurant"}
    text = capsys.readouterr().out
    assert "no event of val may occur in this scene: 1 files" in text
    assert "lacks an outdoor scene; add one, or run make_corpus.py with" in text


def test_a_table_of_somebody_else_is_not_overwritten(data, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("mine", encoding="utf-8")
    with pytest.raises(SimulationError, match="not made by this command"):
        run(data, table)
    assert table.read_text(encoding="utf-8") == "mine"


def test_the_script_from_elsewhere_and_its_error(data, tmp_path):
    command = [sys.executable, SCRIPT, *words(data, "t.csv")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "t.csv: " in done.stdout and (tmp_path / "t.csv").exists()
    command = [sys.executable, SCRIPT, *words(data, "t.csv", speech=["mls=x"])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("make_sources: --sp")
    assert "Traceback" not in done.stderr


def test_the_script_starts_without_torch():
    code = (
        "import sys; import sources.make_sources; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(SCRIPT).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n", done.stderr
