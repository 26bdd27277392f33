"""separate_file.py finds what users mean, and passes nothing over in silence."""

import os
from pathlib import Path

import numpy as np
import pytest
import separate_file
import soundfile
from inference import inputs
from made_runs import noise, put

FAKE_FFMPEG = """#!/bin/sh
for copy; do :; done
case "$*" in
    *torn*) echo "File ended prematurely" >&2;;
    *worse*) exit 3;;
esac
exec cp made.wav "$copy"
"""


@pytest.fixture
def separate(run_of_sb, tmp_path, monkeypatch, capsys):
    """Runs the script in a new folder; returns exit code, stdout, failures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def run(*words):
        code = separate_file.main([str(run_of_sb[0]), *words, "--device=cpu"])
        printed = capsys.readouterr()
        failures = printed.err.split("failed: ")[1:]
        return code, printed.out, [line.strip() for line in failures]

    return run


def made(folder="."):
    """Names of the WAV files below a folder."""
    names = (p.relative_to(folder) for p in Path(folder).rglob("*.wav"))
    return sorted(map(str, names))


def test_one_file_never_ends_the_batch(separate):
    put(noise(8000), "in/a.wav", "in/b.flac", "in/b.wav", "in/é.wav")
    Path("in/c.raw").write_bytes(bytes(8000))
    Path("in/._a.wav").write_bytes(b"\0\5\x16\7")
    Path("in/notes.txt").write_text("no audio")
    os.rename("in/é.wav", b"in/\xe9.wav")
    put(noise(8000), f"in/{'n' * 250}.wav")
    Path("empty").mkdir()
    long = f"{'m' * 300}.wav"
    words = "in", "empty", "no/*.wav", "gone.wav", long, "--output_folder=out"
    code, said, failures = separate(*words)
    assert code == 1 and "3 of 8 recordings separated" in said
    assert "2 other files in folders are left alone" in said
    places = "empty", "no/*.wav", "in/b", "gone", "m" * 300, "n" * 250, "in/c"
    for place in places:
        assert sum(place in failure for failure in failures) == 1, place
    assert len(failures) == len(places)
    assert failures[0] == "empty: expected recordings, found none"
    assert "in/b.flac and in/b.wav would both become out/b_s1" in failures[2]
    assert "-f s16le -ar RATE -ac CHANNELS -i 'in/c.raw'" in str(failures)
    names = [os.fsencode(name) for name in made("out")]
    stems = b"a", b"b", b"\xe9"
    assert names == sorted(x + b"_s%d.wav" % n for x in stems for n in (1, 2))


def test_links_are_followed_once_and_named_where_broken(separate):
    put(noise(8000), "in/a.wav", "far/b.wav")
    for link, target in (
        ("in/far", "../far"),
        ("far/back", "../in"),
        ("in/c.wav", "gone.wav"),
    ):
        os.symlink(target, link)
    code, _, failures = separate("in", "--output_folder=~nobody/out")
    assert code == 1 and failures == ["in/c.wav: No such file or directory"]
    stems = "a", "far/b"
    assert made("~nobody/out") == [
        f"{s}_s{n}.wav" for s in stems for n in (1, 2)
    ]


@pytest.mark.parametrize(
    "place", [["--output_folder=in/out"], ["--output_folder=in"], ["--beside"]]
)
def test_a_folder_separated_again_gives_what_is_new(separate, place):
    put(noise(8000), "in/a.wav", "in/deep/b.wav")
    again = ["in", "--skip_existing", "--keep_residual", *place]
    assert separate(*again, "--suffix=_x")[0] == 0
    before = {name: os.stat(name).st_mtime_ns for name in made()}
    assert len(before) == 2 + 2 * 3
    code, said, _ = separate(*again, "--suffix=_x")
    assert code == 0 and "2 recordings were separated before" in said
    put(noise(8000), "in/c.wav")
    # Other names of outputs do not make recordings of them.
    assert separate(*again, "--suffix=_x")[0] == separate("in", *place)[0] == 0
    assert len(made()) == 3 + 3 * 3 + 3 * 2
    assert all(os.stat(n).st_mtime_ns == t for n, t in before.items())
    # Who names one means it.
    (output,) = Path("in").rglob("c_s2.wav")
    assert separate(str(output), "--output_folder=more")[0] == 0
    assert made("more") == ["c_s2_s1.wav", "c_s2_s2.wav"]


def test_a_recording_is_never_replaced(separate):
    put(noise(8000), "x.wav", "x_s1.wav")
    words = "x.wav", "x_s1.wav", "--output_folder=.", "--overwrite"
    code, _, (failure,) = separate(*words)
    assert code == 1 and "x_s1.wav is a recording to be separated" in failure
    assert made() == ["x.wav", "x_s1.wav", "x_s1_s1.wav", "x_s1_s2.wav"]
    assert soundfile.info("x_s1.wav").subtype == "PCM_16"


def test_sources_and_residual_sum_to_the_mixture(separate):
    mixture = noise(2**20 + 100)[:, 0]
    put(mixture, "a/m.wav", subtype="FLOAT")
    assert separate("a/m.wav", "--beside", "--keep_residual")[0] == 0
    assert made("a") == ["m.wav", "m_residual.wav", "m_s1.wav", "m_s2.wav"]
    parts = [
        soundfile.read(f"a/m_{n}.wav")[0] for n in ("residual", "s1", "s2")
    ]
    assert all(part.std() > 1e-4 for part in parts)
    assert np.abs(sum(parts) - mixture).max() < 1e-6


def test_formats_of_ffmpeg(separate, tmp_path):
    put(noise(16000), "made.wav", rate=16000)
    names = "good.m4a", "torn.webm", "worse.AMR"
    for name in names:
        Path(name).write_bytes(b"coded")
    words = *names, "gone.wma", "--output_folder=out"
    code, _, failures = separate(*words)
    assert code == 1 and len(failures) == 4 and not Path("out").exists()
    for name, failure in zip(names, failures):
        assert "ffmpeg is not installed; convert with ffmpeg -i" in failure
        assert f"-i '{name}' out.wav" in failure
    assert "No such file" in failures[3]
    for name, text in (("ffmpeg", FAKE_FFMPEG), ("cp", "#!/bin/sh\n")):
        put(noise(9), "bin/_.wav")
        Path("bin", name).write_text(text)
        Path("bin", name).chmod(0o755)
    Path("bin/cp").unlink()
    Path("bin/cp").symlink_to("/bin/cp")
    code, said, failures = separate(*words)
    assert code == 1 and made("out") == ["good_s1.wav", "good_s2.wav"]
    assert "good.m4a: converted by ffmpeg" in said
    assert "16000 Hz resampled to 8000 Hz" in said
    torn, worse, gone = failures
    assert torn.startswith("torn.webm: ffmpeg says: File ended prematurely")
    assert worse.startswith("worse.AMR: ffmpeg says: exit code 3")


def test_standard_input_and_pipes_are_read(separate):
    put(noise(8000), "a.wav")
    kept, pipes = os.dup(0), [os.pipe() for _ in range(2)]
    for _, end in pipes:
        os.write(end, Path("a.wav").read_bytes())
        os.close(end)
    (first, _), (second, _) = pipes
    os.dup2(first, 0)
    try:
        words = "-", f"/dev/fd/{second}", "a.wav", "--output_folder=out"
        assert separate(*words)[0] == 0
    finally:
        os.dup2(kept, 0)
    names = [f"{n}_s{s}.wav" for n in (second, "a", "stdin") for s in (1, 2)]
    assert made("out") == names
    contents = [Path("out", name).read_bytes() for name in names]
    assert contents == contents[:2] * 3


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(noise(9), str(tmp_path / "a.wav"))

    def walk(folder, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", "deep"))
        yield folder, [], ["a.wav"]

    monkeypatch.setattr(os, "walk", walk)
    found, n_others, problems = inputs.find_recordings([str(tmp_path)])
    assert list(found) == [tmp_path / "a.wav"] and n_others == 0
    assert problems == ["deep: Permission denied"]
