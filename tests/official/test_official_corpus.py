"""A corpus from the official table: files found, refusals, the command."""

import json
import shutil
import subprocess
import sys

import official_trees
import pytest
from audit.full import audit
from official.table import OfficialError
from own_sources import contents, read_table, rows_of
from prepare_polsess import prepare_polsess
from recipe import ROOT
from simulate.make_corpus import make_corpus, parse_arguments

SCRIPT = ROOT / "recipes/PolSESS/simulate/make_corpus.py"


def refusal_of(words):
    """The text in which a command ends."""
    with pytest.raises(OfficialError) as caught:
        make_corpus(parse_arguments([str(word) for word in words]))
    return str(caught.value)


def test_a_clean_corpus_passes_the_full_audit(made, tmp_path, capsys):
    root = tmp_path / "PolSESS"
    official_trees.make(made, root)
    printed = capsys.readouterr().out
    assert "76 of 97 rows (clean)" in printed
    assert "fsd50k: 1 left out, a voice" in printed
    prepare_polsess(root, tmp_path / "made", audit=audit)
    assert read_table(tmp_path / "made/audit.csv") == []
    table = read_table(root / "sources/official.csv")
    speakers = {
        row["filePath"]: row["speaker"]
        for row in table
        if row["role"] == "speech"
    }
    assert {"emu_SPK0001", "mls_011"} < set(speakers.values())
    for subset, count in (("train", 4), ("val", 2), ("test", 2)):
        rows = rows_of(root, subset)
        assert len(rows) == count
        for row in rows:
            paths = row["speech1OryginalPath"], row["speech2OryginalPath"]
            assert len({speakers[path] for path in paths}) == 2
    before = contents(root)
    official_trees.make(made, root)
    assert contents(root) == before
    options = json.loads((root / "corpus.json").read_text())
    assert options["splits"] == "clean" and len(options["roots"]) == 7


def test_an_exact_corpus_can_have_one_person_twice(made, tmp_path):
    root = tmp_path / "Exact"
    counts = {"n_train": 24, "n_val": 0, "n_test": 0}
    official_trees.make(made, root, splits="exact", **counts)
    speakers = {
        row["filePath"]: row["speaker"]
        for row in read_table(root / "sources/official.csv")
    }
    pairs = [
        (row["speech1OryginalPath"], row["speech2OryginalPath"])
        for row in rows_of(root)
    ]
    # Of 650 pairs of different recordings 72 are of one person.
    assert all(one != other for one, other in pairs)
    assert any(speakers[one] == speakers[other] for one, other in pairs)
    table = read_table(root / "sources/official.csv")
    published = {
        (row["subset"], row["filePath"].replace("\\", "/").split("/")[-1])
        for row in official_trees.table_rows()
        if row["source"] == "tau"
    }
    found = {
        (row["subset"], row["filePath"].split("/")[-1])
        for row in table
        if row["source"] == "tau"
    }
    assert found == published


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the corpora that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


def test_missing_corpora_and_files_are_named_before_anything_is_made(
    copy, tmp_path
):
    for path in sorted(copy.glob("tau/audio/park-*"))[:4]:
        path.unlink()
    shutil.rmtree(copy / "tut")
    root = tmp_path / "PolSESS"
    words = official_trees.words(copy, root, without=["emu"])
    words.append(f"--root=tut={copy}/tut")
    result = subprocess.run(
        [sys.executable, SCRIPT, *words], capture_output=True, text=True
    )
    text = result.stderr
    assert result.returncode == 1 and "Traceback" not in text
    lines = text.splitlines()
    assert (
        lines[0] == f"make_corpus: {copy}/official.csv: recordings are missing"
    )
    emu = "  emu: 36 of 36 recordings are not given: --root emu=FOLDER, for e"
    assert lines[1].startswith(emu) and lines[1].count("sent") == 6
    assert lines[2].startswith(f"  tut: 4 of 4 recordings are not below {copy}")
    assert lines[3].startswith("  tau: 4 of 20 recordings are not below")
    assert lines[3].count("audio/park-lyon") == 3
    assert lines[4].endswith("by --missing skip.") and len(lines) == 5
    assert not root.exists()


def test_missing_recordings_can_be_left_out(made, copy, tmp_path, capsys):
    root = tmp_path / "PolSESS"
    lost = copy / "libriSpeech/train/audio/011/7/011_7_000001.opus"
    lost.unlink()
    words = official_trees.words(copy, root, without=["wham"], missing="skip")
    make_corpus(parse_arguments(words))
    table = read_table(root / "sources/official.csv")
    assert len(table) == 76 - 3 - 1
    printed = capsys.readouterr().out
    assert "wham: 3 of 3 recordings are not given: --root wham" in printed
    assert "  left out: mls: 1 of 6 recordings are not below" in printed
    # What appears later does not change a corpus that has begun.
    shutil.copy(made / "libriSpeech/train/audio/011/7" / lost.name, lost)
    before = contents(root)
    make_corpus(parse_arguments([*words, "--n_test=3"]))
    after = contents(root)
    assert before["sources/official.csv"] == after["sources/official.csv"]


def test_a_folder_with_two_copies_is_refused(copy, tmp_path):
    shutil.copytree(copy / "wham/tr", copy / "wham/16k")
    text = refusal_of(official_trees.words(copy, tmp_path / "PolSESS"))
    assert "wham: 1 recordings are more than once below" in text
    assert "16k/trc0102_0.5_050c_-0.5.wav and " in text


@pytest.mark.parametrize(
    "words, message",
    [
        (["--root=emu=x"], "needs --official TABLE"),
        (["--official={}", "--sources=a.csv"], "or --sources, not both"),
        (["--official={}", "--root=emo=x"], "--root emo=x: expected NAME=F"),
        (["--official={}", "--root=emu"], "--root emu: expected NAME=FOLD"),
        (["--official={}", "--root=emu=x", "--root=emu=y"], "each once"),
        (["--official=no.mat"], "no.mat: no such file"),
        (["--official={}", "--emu_speakers=no"], "no: no such file"),
    ],
)
def test_options_that_cannot_be_meant(made, tmp_path, words, message):
    words = [word.format(made / "official.csv") for word in words]
    words.append(f"--output_folder={tmp_path}/PolSESS")
    assert message in refusal_of(words)


def test_clean_needs_the_speakers_and_exact_does_not(copy, tmp_path):
    (copy / "utt2spk").unlink()
    words = official_trees.words(copy, tmp_path / "PolSESS")
    text = refusal_of(words)
    assert "pass --emu_speakers FILE" in text and "ClarinStudioKaldi" in text
    official_trees.make(copy, tmp_path / "Exact", splits="exact", n_train=0)


def test_other_roots_make_another_corpus(made, tmp_path):
    root = tmp_path / "PolSESS"
    official_trees.make(made, root, n_train=0, n_test=0)
    words = official_trees.words(made, root, splits="exact")
    with pytest.raises(ValueError, match="splits: clean there, exact now"):
        make_corpus(parse_arguments(words))
