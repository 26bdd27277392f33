"""Each corpus in its own layout: files, labels, official splits."""

import pytest
import soundfile
import source_trees as trees
from simulate.tables import SimulationError
from sources.adapters import ADAPTERS

TREES = {
    "mls": ("speech", trees.make_mls),
    "commonvoice": ("speech", trees.make_commonvoice),
    "clarin": ("speech", trees.make_emu),
    "clarin Kaldi": ("speech", trees.make_kaldi),
    "bigos": ("speech", trees.make_bigos),
    "nemo": ("speech", trees.make_nemo),
    "tau2019": ("envScene", trees.make_tau),
    "tut2017": ("envScene", trees.make_tut),
    "wham": ("envScene", trees.make_wham),
    "demand": ("envScene", trees.make_demand),
    "esc50": ("events", trees.make_esc50),
    "fsd50k": ("events", trees.make_fsd50k),
}


def find(name, folder):
    """What the adapter of a tree finds in a folder."""
    return list(ADAPTERS[TREES[name][0]][name.split()[0]](folder))


@pytest.mark.parametrize("name", TREES)
def test_files_labels_and_official_splits(name, tmp_path):
    expected = TREES[name][1](tmp_path, seconds=0.01)
    found = {
        entry.path: entry.reason or (entry.labels, entry.subsets)
        for entry in find(name, tmp_path)
    }
    assert found == expected


@pytest.mark.parametrize("name", TREES)
def test_a_folder_of_something_else_says_what_is_expected(name, tmp_path):
    (tmp_path / "readme.txt").touch()
    if name in ("bigos", "nemo"):  # their names are checked file by file
        assert find(name, tmp_path) == []
        return
    with pytest.raises(SimulationError) as caught:
        find(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "readme.txt" in str(caught.value) or "no folder" in str(caught.value)


def groups(name, folder):
    """Group -> names of its files."""
    found = {}
    for entry in find(name, folder):
        if not entry.reason:
            found.setdefault(entry.group, []).append(entry.path.name)
    return found


def test_groups_are_places_recordings_and_speakers(tmp_path):
    trees.make_esc50(tmp_path / "esc", 0.01)
    found = groups("esc50", tmp_path / "esc")
    assert found["310"] == ["3-310-A-1.wav", "3-310-B-1.wav"]
    trees.make_tau(tmp_path / "tau", 0.01)
    assert "airport-lyon-4" in groups("tau2019", tmp_path / "tau")
    trees.make_wham(tmp_path / "wham", 0.01)
    assert set(groups("wham", tmp_path / "wham")) == {
        f"{number}{level}" for number in range(3) for level in "hml"
    }
    trees.make_tut(tmp_path / "tut", 0.01)
    assert "b021" in groups("tut2017", tmp_path / "tut")


def test_tut_without_evaluation_and_tau_without_folds_are_open(tmp_path):
    trees.make_tut(tmp_path, 0.01)
    one = tmp_path / "TUT-acoustic-scenes-2017-development"
    assert {entry.subsets for entry in find("tut2017", one)} == {()}
    trees.make_tau(tmp_path, 0.01)
    package = tmp_path / "TAU-urban-acoustic-scenes-2019-development"
    for table in package.glob("evaluation_setup/*"):
        table.unlink()
    assert {entry.subsets for entry in find("tau2019", package)} == {()}


def test_own_folders_have_the_class_in_the_folder_or_the_name(tmp_path):
    for name in ("dog/1-100-A-0.wav", "cat/1-100-B-0.wav", "dog/x 2.mp3"):
        trees.noise(tmp_path / name, 0.05)
    trees.noise(tmp_path / "7__ann__busy-street-1.wav", 0.05)
    (tmp_path / "dog/._x.wav").touch()
    found = {
        entry.path.name: (entry.labels, entry.group)
        for entry in ADAPTERS["events"]["folder"](tmp_path)
    }
    assert found == {
        "1-100-A-0.wav": (("dog", "1-100-A"), "100"),
        "1-100-B-0.wav": (("cat", "1-100-B"), "100"),
        "x 2.mp3": (("dog", "x"), "dog/x 2.mp3"),
        "7__ann__busy-street-1.wav": (("busy-street", tmp_path.name), "7"),
    }


@pytest.mark.parametrize(
    "name, table, text, message",
    [
        ("esc50", "meta/esc50.csv", "filename,fold\n", "missing category"),
        ("esc50", "meta/esc50.csv", "", "found an empty file"),
        ("commonvoice", "dev.tsv", "client_id\tpath\nabc\n", "line 2"),
        ("commonvoice", "dev.tsv", None, "dev.tsv: no such file; found"),
        ("fsd50k", "FSD50K.ground_truth/dev.csv", "fname,labels\n", "split"),
        ("wham", "wham_noise/metadata/noise_meta_cv.csv", "a\n", "Location"),
        ("tut2017", "meta.txt", "audio/a.wav beach\n", "line 1: expected"),
    ],
)
def test_a_table_at_fault_is_named(name, table, text, message, tmp_path):
    TREES[name][1](tmp_path, seconds=0.01)
    if text is None:
        (tmp_path / table).unlink()
    else:
        (tmp_path / table).write_text(text, encoding="utf-8")
    with pytest.raises(SimulationError) as caught:
        find(name, tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / table) in str(caught.value)


def test_a_table_in_another_encoding_is_named(tmp_path):
    trees.make_commonvoice(tmp_path, 0.01)
    text = "client_id\tpath\tsentence\na\tb.mp3\tżółć\n"
    (tmp_path / "test.tsv").write_bytes(text.encode("cp1250"))
    with pytest.raises(SimulationError, match="test.tsv: expected UTF-8"):
        find("commonvoice", tmp_path)


def test_opus_and_ogg_are_found_and_read(tmp_path):
    path = tmp_path / "train/audio/1/2/1_2_3.opus"
    path.parent.mkdir(parents=True)
    signal = trees.noise(tmp_path / "x.wav", 0.5)
    soundfile.write(path, signal, 8000, "OPUS", format="OGG")
    assert [entry.path for entry in find("mls", tmp_path)] == [path]
