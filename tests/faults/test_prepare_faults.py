"""Whatever happens to a preparation, its manifests are whole or absent."""

import faulthandler
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from audit.full import audit as full
from corpora import (
    make_corpus,
    metadata_path,
    read_all,
    read_csv,
    write_metadata,
)
from prepare_polsess import prepare_polsess
from promises import CORPUS, PREPARED, PREPARED_TWICE
from recipe import ROOT

matrix = pytest.mark.nightly

WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
forked = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of 4 + 2 + 2 mixtures."""
    root = tmp_path_factory.mktemp("corpus") / "Tiny"
    make_corpus(root, seconds=0.1)
    return root


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """File name -> bytes of an undisturbed preparation."""
    save = tmp_path_factory.mktemp("whole")
    prepare_polsess(corpus, save)
    return read_all(save)


def hear_writes(act):
    """Calls a function with the path of each file before it is written."""

    def hear(event, arguments):
        """Is told of all that Python does with files."""
        if event == "open" and isinstance(arguments[0], str):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR):
                act(arguments[0])
        elif event in WRITES:
            act(str(arguments[0]))

    sys.addaudithook(hear)


def prepare_killed(corpus, save, number):
    """Prepares in this process, killed before its number-th write."""
    writes = []

    def count(path):
        """Kills itself, or lets it be written."""
        if path.startswith(str(save)):
            writes.append(path)
            if len(writes) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    hear_writes(count)
    prepare_polsess(corpus, save)


def in_a_process(*arguments):
    """Calls a function in a copy of this process; waits for its exit code."""
    process = forked.Process(target=arguments[0], args=arguments[1:])
    process.start()
    process.join(60)
    return process.exitcode


def all_whole(save, *preparations):
    """Whether each manifest in a folder is one of a whole preparation."""
    return all(
        any(path.read_bytes() == whole.get(path.name) for whole in preparations)
        for path in save.glob("*.csv")
    )


def prepared_again(corpus, save):
    """File name -> bytes after the next preparation."""
    prepare_polsess(corpus, save)
    return read_all(save)


@pytest.fixture(scope="module")
def former(corpus, tmp_path_factory):
    """A preparation of an earlier version of the corpus."""
    root = shutil.copytree(corpus, tmp_path_factory.mktemp("old") / "Tiny")
    for subset in ("train", "val", "test"):
        path = metadata_path(root, subset)
        rows = [{**row, "sceneClass": "old"} for row in read_csv(path)]
        write_metadata(path, rows)
    save = tmp_path_factory.mktemp("former")
    prepare_polsess(root, save)
    return save


@pytest.mark.promise(PREPARED)
@pytest.mark.parametrize("has_former", [False, True])
@pytest.mark.parametrize(
    "first", [8, *(pytest.param(n, marks=matrix) for n in range(1, 8))]
)
def test_killed_before_a_write(
    corpus, whole, former, tmp_path, has_former, first
):
    code = -signal.SIGKILL
    for number in range(first, 200, 8):
        save = tmp_path / str(number)
        if has_former:
            shutil.copytree(former, save)
        code = in_a_process(prepare_killed, corpus, save, number)
        assert all_whole(save, whole, read_all(former))
        assert prepared_again(corpus, save) == whole
        if code == 0:
            break
    assert code == 0 and number > 50


@pytest.mark.promise(PREPARED, control=True)
def test_a_cut_manifest_is_seen(corpus, whole, former, tmp_path):
    save = shutil.copytree(former, tmp_path / "save")
    path = save / "train_SER.csv"
    path.write_bytes(path.read_bytes()[:-1])
    assert not all_whole(save, whole, read_all(former))


@pytest.mark.promise(PREPARED)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=matrix) for n in range(1, 6))]
)
def test_killed_at_any_moment(corpus, whole, tmp_path, seed):
    draw = random.Random(seed)
    killed = 0
    for number in range(8):
        save = tmp_path / str(number)
        process = forked.Process(target=prepare_polsess, args=(corpus, save))
        process.start()
        process.join(draw.uniform(0, 0.1))
        process.kill()
        process.join(60)
        killed += process.exitcode == -signal.SIGKILL
        assert all_whole(save, whole)
        assert prepared_again(corpus, save) == whole
    assert killed > 1


def prepare_watched(*arguments, **keywords):
    """Prepares; where that takes too long, tells where it is."""
    faulthandler.dump_traceback_later(50)
    prepare_polsess(*arguments, **keywords)
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.promise(PREPARED_TWICE)
@pytest.mark.parametrize(
    "options",
    [
        [{}, {}],
        [{"splits": ["train", "valid"]}, {"splits": ["test"]}],
        [{"audit": full}, {"on_bad_rows": "skip"}],
        [{}, {}, {}, {"splits": ["test"]}],
    ],
)
def test_several_at_once(corpus, whole, tmp_path, options):
    for number in range(3):
        save = tmp_path / str(number)
        processes = [
            forked.Process(
                target=prepare_watched, args=(corpus, save), kwargs=keywords
            )
            for keywords in options
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * len(options)
        assert all_whole(save, whole)
        assert prepared_again(corpus, save) == whole


def prepare_hearing(corpus, save, folder):
    """Prepares; any writing into a folder ends this process."""
    hear_writes(lambda path: path.startswith(str(folder)) and os._exit(7))
    prepare_polsess(corpus, save, audit=full)


@pytest.mark.promise(CORPUS)
def test_nothing_of_the_corpus_is_written(corpus, tmp_path):
    save = tmp_path / "save"
    assert in_a_process(prepare_hearing, corpus, save, corpus) == 0
    # The hook hears what there is to hear.
    assert in_a_process(prepare_hearing, corpus, tmp_path, tmp_path) == 7


MOUNTED = """
mount --bind {corpus} {corpus} && mount -o remount,bind,ro {corpus} || exit 9
touch {corpus}/written && exit 8
exec {python} {script} --data_folder {corpus} --save_folder {save}
"""


@pytest.mark.promise(CORPUS)
def test_a_corpus_on_a_read_only_disk(corpus, whole, tmp_path):
    command = MOUNTED.format(
        corpus=corpus,
        python=sys.executable,
        script=ROOT / "recipes/PolSESS/prepare_polsess.py",
        save=tmp_path / "save",
    )
    process = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if process.returncode in (1, 9) and "prepar" not in process.stderr.lower():
        pytest.skip(f"no read-only mount here: {process.stderr}")
    assert process.returncode == 0, process.stderr
    assert read_all(tmp_path / "save") == whole
