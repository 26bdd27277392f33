"""Whatever happens to a preparation, its manifests are whole or absent."""

import os
import random
import shutil
import signal
import time

import pytest
from audit.full import audit as full
from corpora import MadeCorpus, read_all
from promises import CORPUS, DISK, PREPARED, PREPARED_TWICE
from recipe import ROOT
from run_folders import trace

SCRIPT = ROOT / "recipes/PolSESS/prepare_polsess.py"
LISTS = ["audit.csv", "excluded.csv"]
MANIFESTS = [
    f"{split}_{variant}.csv"
    for split in ("train", "valid", "test")
    for variant in ("SER", "SR", "ER", "R", "SE", "S", "E", "C")
]
NAMES = [*LISTS, *MANIFESTS, "test_metadata.csv", "prepare.json"]


def hidden(name):
    """Where a file is written."""
    return f"*.partial/{name.replace('.', '_')}"


WRITES = [
    "mkdir *.partial",
    *(f"open {hidden(name)}" for name in NAMES),
    *(f"rename {hidden(name)}" for name in NAMES),
    "rmdir *.partial",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus."""
    return MadeCorpus(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def whole(made):
    """File name -> bytes of an undisturbed preparation."""
    return made.prepare(save="whole")


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    """Of an earlier version of the corpus, of which no file is the same."""
    corpus = MadeCorpus(tmp_path_factory.mktemp("former"), seed=1)
    corpus.path("mixFile").unlink()
    corpus.prepare(on_bad_rows="skip")
    return corpus.folder / "save"


def start(server, corpus, save, *words, faults=()):
    """Starts the command, whose writes are traced."""
    return server.start(
        *(save, SCRIPT, "--data_folder", corpus.root, "--save_folder", save),
        *words,
        faults=[("write", 0, ""), *faults],
        trace=f"{save}.trace",
        random=False,
    )


def all_whole(save, *preparations):
    """Whether each file in a folder is one of a whole preparation."""
    return all(
        any(content == whole.get(name) for whole in preparations)
        for name, content in read_all(save).items()
    )


@pytest.mark.promise(PREPARED)
def test_the_list_of_writes_is_complete(server, made, whole, former, tmp_path):
    ended = start(server, made, tmp_path / "save").end()
    assert ended.code == 0, ended.output
    assert read_all(tmp_path / "save") == whole
    found = [place for place, *_ in trace(tmp_path / "save", "write")]
    assert found == WRITES
    before = read_all(former)
    assert before.keys() == whole.keys()
    assert [n for n in whole if before[n] == whole[n]] == []


KILLS = [
    *((place, "SIGKILL") for place in WRITES),
    # Some bytes of a file are written.
    *((f"open {hidden(n)}", "kill at 40") for n in NAMES[2::5]),
]
BY_DEFAULT = [
    ("open *.partial/train_SER_csv", "kill at 40"),
    ("rename *.partial/excluded_csv", "SIGKILL"),
    ("rename *.partial/valid_SER_csv", "SIGKILL"),
    ("rename *.partial/prepare_json", "SIGKILL"),
]


@pytest.mark.promise(PREPARED)
@pytest.mark.parametrize(
    "place, action",
    [
        pytest.param(
            *case, marks=[] if case in BY_DEFAULT else pytest.mark.nightly
        )
        for case in KILLS
    ],
)
def test_killed_at_a_write(
    server, made, whole, former, tmp_path, place, action
):
    save = shutil.copytree(former, tmp_path / "save")
    fault = (f"write {place}", 1, action)
    ended = start(server, made, save, faults=[fault]).end()
    assert ended.code in (-signal.SIGKILL, -signal.SIGXFSZ), ended.output
    assert all_whole(save, whole, read_all(former))
    assert made.prepare(save=save) == whole


@pytest.mark.promise(DISK)
@pytest.mark.parametrize("name", ["train_SER.csv", "prepare.json"])
def test_no_room_for_a_manifest(server, made, whole, former, tmp_path, name):
    save = shutil.copytree(former, tmp_path / "save")
    fault = (f"write open {hidden(name)}", 1, "full at 40")
    ended = start(server, made, save, faults=[fault]).end()
    assert ended.code == 1 and "too large" in ended.output
    assert read_all(save) == read_all(former)
    assert made.prepare(save=save) == whole


@pytest.mark.promise(PREPARED, control=True)
def test_a_cut_manifest_is_seen(whole, former, tmp_path):
    save = shutil.copytree(former, tmp_path / "save")
    path = save / "train_SER.csv"
    path.write_bytes(path.read_bytes()[:-1])
    assert not all_whole(save, whole, read_all(former))


@pytest.mark.promise(PREPARED)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2))]
)
def test_killed_at_any_moment(server, made, whole, tmp_path, seed):
    draw = random.Random(seed)
    for number in range(3):
        save = tmp_path / str(number)
        save.mkdir()
        run = start(server, made, save)
        # The first time at once.
        time.sleep(draw.uniform(0, 0.3) if number else 0)
        os.kill(run.process, signal.SIGKILL)
        code = server.ask(wait=run.process)
        assert code == -signal.SIGKILL or number
        assert all_whole(save, whole)
        assert made.prepare(save=save) == whole


TOGETHER = [
    [[], ["--on_bad_rows", "skip"], ["--splits", "test"]],
    [["--splits", "train", "valid"], ["--splits", "test"]],
    [["--audit", "full"], [], [], []],
]


@pytest.mark.promise(PREPARED_TWICE)
@pytest.mark.parametrize(
    "options",
    [
        TOGETHER[0],
        *(pytest.param(o, marks=pytest.mark.nightly) for o in TOGETHER[1:]),
    ],
)
def test_several_at_once(server, made, whole, tmp_path, options):
    save = tmp_path / "save"
    runs = [start(server, made, save, *words) for words in options]
    assert [run.end().code for run in runs] == [0] * len(options)
    files = read_all(save)
    del files["prepare.json"]  # it may know the splits of one of them
    assert files.items() <= whole.items()
    assert made.prepare(save=save) == whole


def listing(paths):
    """Mode, size and times of change of each."""
    status = map(os.stat, paths)
    return [
        (s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in status
    ]


@pytest.mark.promise(CORPUS)
def test_nothing_is_written_into_the_corpus(tmp_path):
    corpus = MadeCorpus(tmp_path)
    paths = [corpus.root, *sorted(corpus.root.rglob("*"))]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(paths)
    corpus.prepare(audit=full)
    # Root may write everywhere, but would leave other times.
    assert listing(paths) == before
    assert [corpus.root, *sorted(corpus.root.rglob("*"))] == paths
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.promise(CORPUS)
def test_a_corpus_on_a_read_only_disk(disks, server, made, whole, tmp_path):
    path = made.root
    command = f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"
    with disks(f"{command} && ! touch {path}/written"):
        ended = server.call(
            *(tmp_path, SCRIPT, "--data_folder", path),
            *("--save_folder", tmp_path / "save"),
        )
    assert ended.code == 0, ended.output
    assert read_all(tmp_path / "save") == whole
