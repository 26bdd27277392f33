"""Recordings and tables as people have them: long, damaged, from Windows."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
import soundfile
from own_sources import (
    COLUMNS,
    contents,
    level_db,
    make,
    pool_of,
    read_table,
    rewrite,
    rows_of,
    samples_of,
    write_sources,
    write_table,
)
from recordings.reader import AudioFile
from scipy.signal import resample_poly
from simulate.acoustics import BUILT_IN, Classes
from simulate.audio import open_audio, read_mono, resample
from simulate.corpus import SubsetBuilder
from simulate.metadata import draw_row
from simulate.segments import _frame_levels, _loud_level
from simulate.sources import Others, read_pools, read_sources
from simulate.tables import SimulationError, compare_tables, read_rows

OPTIONS = {"sample_rate": 8000, "segment_seconds": 1.0, "indoor_ratio": 0.5}
TRAIN = {"n_train": 4, "n_val": 0, "n_test": 0}


def noise(seconds, rate=16000):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal(round(seconds * rate))


def test_loud_level_of_a_long_recording_takes_a_block_of_memory(tmp_path):
    path = tmp_path / "long.wav"
    signal = np.stack([noise(120.01), noise(120.01)[::-1]], 1)
    signal *= np.linspace(0, 1, len(signal))[:, None]
    soundfile.write(path, signal, 16000, "PCM_16")
    tracemalloc.start()
    found = _loud_level(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    whole = soundfile.read(path)[0].mean(axis=1)
    assert peak_bytes < 12e6 < 2 * whole.nbytes
    # The same bits as from the whole recording.
    assert found == np.percentile(_frame_levels(whole, 320), 95)


def test_segments_are_resampled_as_scipy_does():
    signal = noise(0.5, 44100)
    for to_rate, up, down in ((8000, 80, 441), (44100, 1, 1)):
        expected = resample_poly(signal, up, down)
        assert np.array_equal(resample(signal, to_rate, 44100), expected)


def damage(path, share):
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    return path


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_truncated_recording_is_named_at_the_door_and_where_read(
    own, tmp_path, name
):
    path = tmp_path / name
    soundfile.write(path, noise(20), 16000)
    assert AudioFile(path).count() == 320000
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
    rows[0] = {**dict.fromkeys(COLUMNS, ""), "filePath": name}
    rows[0] |= {"subset": "train", "role": "speech", "speaker": "train_anna"}
    table = write_table(tmp_path / "sources.csv", rows)
    pool = pool_of(table, 15.0)
    damage(path, 0.3)
    # Its header still declares all 320,000 samples.
    message = r"line 2 \(.*expected 320000 samples, found (\d+)"
    with pytest.raises(SimulationError, match=message) as caught:
        read_sources(table)
    assert "truncated or damaged file" in str(caught.value)
    found = int(str(caught.value).rpartition(" ")[2])
    assert 0.2 * 320000 < found == AudioFile(path).count() < 0.4 * 320000
    # Damaged later, it is named where it is read.
    with pytest.raises(SimulationError, match=f"line 2 of.*{name}: "):
        draw_row(pool, 0, 0, 0.5)
    with pytest.raises(SimulationError, match=f"{name}: "):
        read_mono(path, 200001, 280000)


def test_samples_beyond_the_header_are_drawn(own, tmp_path, capsys):
    signal = noise(20)
    soundfile.write(tmp_path / "a.wav", signal, 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    expected = np.frombuffer(data[44:], "<i2") / 32768
    data[40:44] = (16000).to_bytes(4, "little")  # half a second
    (tmp_path / "a.wav").write_bytes(data)
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
    rows[0] |= dict.fromkeys(("duration", "sampleRate", "channels"), "")
    rows[0]["filePath"] = "a.wav"
    recording = read_sources(write_table(tmp_path / "sources.csv", rows))[0]
    assert recording.frames == 320000
    message = "a.wav: header claims 8000 samples, found 320000"
    assert message in capsys.readouterr().out
    for start, end in ((1, 8000), (7001, 9000), (300001, 320000)):
        found, _ = read_mono(tmp_path / "a.wav", start, end)
        assert np.array_equal(found, expected[start - 1 : end])
    level = np.percentile(_frame_levels(expected, 320), 95)
    assert _loud_level(tmp_path / "a.wav") == level


def test_decoders_write_nothing_to_stderr(tmp_path, capfd):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(20), 16000)
    damage(path, 0.6)
    soundfile.info(path)
    assert "Warning: Xing stream size" in capfd.readouterr().err
    with open_audio(path) as file:
        file.seek(100000)
        assert file.read(1000).any()
    assert capfd.readouterr().err == ""


def written(table, encoding="utf-8", mark=",", change=str):
    """A table as another program writes it."""
    text = change(table.read_text(encoding="utf-8")).replace(",", mark)
    table.write_bytes(text.encode(encoding))
    return table


@pytest.mark.parametrize("encoding", ["cp1250", "utf-16", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("mark", [";", "\t", ","])
@pytest.mark.parametrize("first", ["", "sep={}\r\n"])
def test_tables_of_spreadsheets_are_read(tmp_path, encoding, mark, first):
    def windows(text):
        text = text.replace("train_anna", "Łucja_ż").replace("/", "\\")
        return first.format(mark) + text

    table = written(write_sources(tmp_path), encoding, mark, windows)
    (tmp_path / "audio/train/train_anna").rename(
        tmp_path / "audio/train/Łucja_ż"
    )
    recordings = read_sources(table)
    assert len(recordings) == 15
    assert recordings[0].speaker == "Łucja_ż"
    assert recordings[0].path == "audio/train/Łucja_ż/1.wav"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.xlsx", b"PK\3\4", "a workbook, expected a CSV: save it as one"),
        ("a.csv", b"sub\x81set", "byte 3 is none of cp1250; save the table"),
        ("a.csv", b'subset,role\n"train,', "more cells|missing column"),
        ("a.csv", b"subset;role;a\n1;2;3", "column.s. filePath: found subset"),
        (
            "a.csv",
            b"subset,filePath,role\n1,2,3,4",
            "expected 3 cells, found 4",
        ),
        ("a.csv", b"", "found no header"),
    ],
)
def test_tables_that_cannot_be_read_are_named_by_cause(
    tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SimulationError, match=message):
        read_rows(tmp_path / name, ("subset", "filePath", "role"), ())


def test_what_a_header_holds_may_be_left_out_or_rounded(own, tmp_path):
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
        row.update(duration="2", gainDB="-1,5")
    columns = ["subset", "filePath", "role", "class", "speaker", "gainDB"]
    for table_columns in (columns, [*columns, "duration"]):
        table = write_table(tmp_path / "a.csv", rows, table_columns)
        assert {r.gain_db for r in read_sources(table)} == {-1.5}
        assert {r.source for r in read_sources(table)} == {""}
    rows[0]["duration"] = "1"  # of 3 s
    write_table(table, rows, [*columns, "duration"])
    with pytest.raises(SimulationError, match="expected 1, found 3"):
        read_sources(table)


def test_other_formats_get_advice_and_a_missing_validation_a_hint(tmp_path):
    table = write_sources(tmp_path)
    rows = [row for row in read_table(table) if row["subset"] != "val"]
    write_table(table, rows)
    with pytest.raises(SimulationError, match="go on without.*: --n_val 0"):
        read_pools(table, ["train", "val", "test"], OPTIONS)
    path = tmp_path / rows[0]["filePath"]
    rows[0]["filePath"] = str(path.rename(path.with_suffix(".m4a")))
    path.with_suffix(".m4a").write_bytes(b"\0\0\0 ftypM4A ")
    write_table(table, rows)
    with pytest.raises(SimulationError, match=r"-i FILE\.m4a FILE\.wav"):
        read_sources(table)


def test_recordings_that_are_not_used_are_counted(own, tmp_path, capsys):
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
    path = tmp_path / "short.wav"
    for name, label in ((path, "Glass"), (tmp_path / "b.wav", "no such")):
        seconds = 0.5 if name == path else 3
        soundfile.write(name, noise(seconds), 16000)
        row = {"subset": "train", "role": "events", "class": label}
        rows.append({**dict.fromkeys(COLUMNS, ""), **row, "filePath": name})
    table = write_table(tmp_path / "sources.csv", rows)
    read_pools(table, ["train"], OPTIONS)
    first, *causes = capsys.readouterr().out.splitlines()
    assert first == f"{table}: 2 recording(s) are not used"
    assert causes == [
        f"  shorter than 1 s: line 17 ({path}): Glass",
        "  events that no scene of train is compatible with: line 18 "
        f"({tmp_path / 'b.wav'}): no such",
    ]


def test_what_changed_in_the_table_is_said(tmp_path):
    table = write_sources(tmp_path / "own")
    root = tmp_path / "Mini"
    make(root, **TRAIN, sources=table)
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("train_anna,", "train_ewa,"))
    with pytest.raises(SimulationError) as caught:
        make(root, **{**TRAIN, "n_train": 5}, sources=table)
    message = str(caught.value)
    assert "another table" in message and "restore it from" in message
    assert len(max(message.split(), key=len)) < 200  # no hashes
    copy = root / "sources_table.csv"
    assert str(copy) in message
    table.write_text(text.replace("3.0,", "3.00,", 1) + text.split("\n")[-2])
    change = compare_tables(copy, table)
    assert change.startswith("1 row(s) missing, such as 'train,")
    assert "; 1 row(s) new, such as 'train," in change
    shutil.copy(copy, table)
    make(root, **{**TRAIN, "n_train": 5}, sources=table)
    assert len(rows_of(root)) == 5


def test_event_levels_are_bounded_and_all_else_is_as_without(own, tmp_path):
    make(tmp_path / "Mini", n_val=0, n_test=0, sources=own)
    root = tmp_path / "bounded/Mini"
    levels = {"event_range_db": (-12, -6)}
    make(root, n_val=0, n_test=0, sources=own, **levels)
    record = json.loads((root / "corpus.json").read_text())
    assert record["event_range_db"] == [-12.0, -6.0]
    offsets = []
    for row, usual in zip(rows_of(root), rows_of(tmp_path / "Mini")):
        assert usual["eventOffsetDB"] == usual["eventVolumeGain"] == ""
        changed = {name for name in row if row[name] != usual[name]}
        assert changed == {"eventOffsetDB", "eventVolumeGain"}
        samples = samples_of(root, row)
        speech = samples["speaker1File"].astype(float)
        speech += samples["speaker2File"]
        offset_db = level_db(samples["eventFile"]) - level_db(speech)
        assert abs(offset_db - float(row["eventOffsetDB"])) < 0.1
        offsets.append(offset_db)
    assert -12.1 < min(offsets) < -10 and -8 < max(offsets) < -5.9


def test_an_event_is_never_louder_than_full_scale(own):
    pool = pool_of(own, 1.0)
    row = draw_row(pool, 0, 0, 0.5, (30.0, 30.0))
    place = row["eventOryginalPath"], row["eventStart"], row["eventEnd"]
    event = pool.reader.read(*place)
    assert np.isclose(row["eventVolumeGain"] * np.abs(event).max(), 0.999)


def test_a_gain_makes_a_quiet_recording_as_loud_as_the_others(tmp_path):
    table = write_sources(tmp_path / "loud")
    make(tmp_path / "Mini", **TRAIN, sources=table)
    table = write_sources(tmp_path / "quiet")
    for name in ("train_anna", "train_jan", "airport", "Keys_jangling"):
        rewrite(table, name, lambda signal: signal / 20)
    rows = read_table(table)
    for row in rows:
        row["gainDB"] = str(20 * np.log10(20)) if "park" not in str(row) else ""
        row["gainDB"] *= row["subset"] == "train"
    write_table(table, rows, [*COLUMNS, "gainDB"])
    root = tmp_path / "raised/Mini"
    make(root, **TRAIN, sources=table)
    for row, usual in zip(rows_of(root), rows_of(tmp_path / "Mini")):
        assert row["mixFile"] == usual["mixFile"]
        for name in ("speech1", "speech2", "event"):
            assert row[f"{name}GainDB"] == rows[0]["gainDB"]
        raised, loud = (
            samples_of(root, row),
            samples_of(tmp_path / "Mini", usual),
        )
        for column in loud:
            # Rounded to 16 bit before the gain.
            error = level_db(raised[column] - loud[column].astype(float))
            assert error < level_db(loud[column]) - 28, column


def test_speakers_and_sources_are_in_the_corpus(corpus, own):
    speakers = {r.path: r.speaker for r in read_sources(own)}
    for row in rows_of(corpus):
        for name in ("speech1", "speech2"):
            path = row[f"{name}OryginalPath"]
            assert row[f"{name}Speaker"] == speakers[path]
        for name in ("speech1", "speech2", "scene", "event"):
            assert row[f"{name}Source"] == "own"
            assert row[f"{name}GainDB"] == "0.0"


def test_a_corpus_of_an_earlier_version_keeps_its_columns(
    corpus, own, tmp_path
):
    root = tmp_path / "Mini"
    make(root, **TRAIN, sources=own)
    final = root / "train/corpus_Mini_train_final.csv"
    rows, columns = rows_of(root), list(rows_of(root)[0])[:34]
    write_table(final, rows, columns)
    final.write_bytes(final.read_bytes().replace(b"\r\n", b"\n"))
    make(root, **{**TRAIN, "n_train": 6}, sources=own)
    expected = [{c: row[c] for c in columns} for row in rows_of(corpus)[:6]]
    assert rows_of(root) == expected
    assert contents(root)["train/mix/" + expected[5]["mixFile"]]
    pool = pool_of(own, 1.0)
    pool.has_gains = True
    options = json.loads((root / "corpus.json").read_text())
    with pytest.raises(SimulationError, match="did not apply gainDB"):
        SubsetBuilder(root, "train", 7, options, 1).build(pool)


def test_others_are_the_items_of_others():
    rng = np.random.default_rng(0)
    for _ in range(50):
        items = list(rng.integers(4, size=9))
        places = [i for i, item in enumerate(items) if item == 2]
        n_before = [place - k for k, place in enumerate(places)]
        others = Others(items, n_before)
        assert list(others) == [item for item in items if item != 2]
        assert len(others) == len(list(others))


MAP = """role,class,setting,pre_delay,diffusion,decay,scenes,like
events,kettle,,,,,kitchen,
events,bell,,,,,,Glass
envScene,kitchen,,,,0.8 0.9,,home
envScene,quarry,outdoor,,,,,
envScene,church,indoor,0.05 0.2,0.1 0.3,0.2 0.4,,
events,Glass,,,,,church quarry,
"""


def test_a_class_map_adds_scenes_and_events(own, tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(MAP, encoding="utf-8")
    classes = Classes(path)
    assert classes.settings["church"] == "indoor"
    assert classes.settings["kitchen"] == "indoor"
    kitchen, home = (classes.reverb_ranges[s] for s in ("kitchen", "home"))
    assert kitchen == {**home, "decay": (0.8, 0.9)}
    assert classes.reverb_ranges["church"]["pre_delay"] == (0.05, 0.2)
    events = classes.event_scenes
    assert events["kettle"] == {"kitchen"}
    assert events["Glass"] == BUILT_IN.event_scenes["Glass"] | {
        *("church", "quarry", "kitchen")
    }
    assert events["bell"] >= BUILT_IN.event_scenes["Glass"]
    assert {e for e in events if "kitchen" in events[e]} - {
        "kettle",
        "bell",
    } == {e for e in events if "home" in events[e]} - {"bell"}
    assert "kitchen" not in BUILT_IN.settings
    # A corpus of them.
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
        row["class"] = {"airport": "church", "Keys_jangling": "Glass"}.get(
            row["class"], row["class"]
        )
    table = write_table(tmp_path / "sources.csv", rows)
    with pytest.raises(SimulationError, match="(?s)unknown class, .*'church'"):
        read_sources(table)
    options = {**TRAIN, "sources": table, "indoor_ratio": 1.0}
    make(tmp_path / "Mini", **options, class_map=path)
    for row in rows_of(tmp_path / "Mini"):
        assert row["sceneClass"] == "church"
        assert 0.2 <= float(row["decay"]) <= 0.4
        assert row["eventClass"] == "Glass"
    path.write_text(MAP.replace("0.2 0.4", "0.2 0.5"), encoding="utf-8")
    with pytest.raises(SimulationError, match="class_map: the file is anoth"):
        make(tmp_path / "Mini", **options, class_map=path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("envScene,a,indoor,,,,,", r"decay: expected the ends "),
        ("envScene,a,,,,,,moon", r"names no scene class: line 2 \(a\): 'moon'"),
        ("envScene,a,,,,,,", "expected indoor or outdoor: line 2"),
        ("envScene,a,indoor,0.3 0.1,,,,home", "pre_delay: expected the ends"),
        ("envScene,a,indoor,0.3,,,,home", "pre_delay: expected the ends"),
        ("envScene,a,,,,,Dog,home", "`scenes` is for events only"),
        ("envScene,a,outdoor,,,,,", "no event occurs in it: .*: line 2"),
        ("envScene,a b,,,,,,home", "without blanks, commas and"),
        ("events,a,,,,,moon,", "names no scene class: .*moon"),
        ("events,a,,,,,,moon", "names no event class: .*'moon'"),
        ("events,a,,,,,,", "needs `scenes`, or `like`"),
        ("speech,a,,,,,,", "unknown role, expected envScene or events"),
    ],
)
def test_a_class_map_at_fault_is_named(tmp_path, text, message):
    path = tmp_path / "map.csv"
    path.write_text(MAP.split("\n")[0] + "\n" + text, encoding="utf-8")
    with pytest.raises(SimulationError, match=message):
        Classes(path)


def test_an_unknown_column_of_a_class_map_is_named(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("role,class,reverb\nevents,a,b\n", encoding="utf-8")
    with pytest.raises(SimulationError, match="unknown column.s. reverb: exp"):
        Classes(path)
