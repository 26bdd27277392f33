"""report.html: what it says, what it survives, how large it is."""

import base64
import io
import re
import subprocess
import sys
import time

import numpy as np
import page_content
import pandas as pd
import pytest
import soundfile
from page_content import RATE, example, score_rows, summary_of
from recipe import ROOT
from reporting import media


def written(tmp_path, **changes):
    """The text of a page."""
    path = tmp_path / "report.html"
    page_content.write(path, **changes)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def sounds(text):
    """The decoded audio of a page."""
    found = re.findall(r"data:audio/wav;base64,([^\"]+)", text)
    return [
        soundfile.read(io.BytesIO(base64.b64decode(sound))) for sound in found
    ]


def without_data(text):
    """The page without its pictures and sounds."""
    return re.sub(r"data:[a-z/+]+;base64,[A-Za-z0-9+/=]+", "", text)


def test_page_says_what_it_was_given(tmp_path):
    text = without_data(written(tmp_path))
    for expected in (
        "tiny.yaml",
        "SB, separate both",
        "lr: 0.001 # &lt; 1",
        "1 of 60 rows has no PESQ.",
        "SER-indoor-worst",
        "SI-SDRi s1 <strong>-7.25</strong> dB",
        "PESQ s1 <strong>no value</strong>",
        "macro mean",
        "10 mixtures",
        "few rows",
    ):
        assert expected in text, expected
    assert text.count("1 failed") >= 3  # its variant and both means
    mean = summary_of(score_rows()).iloc[0]["si_sdri_mean"]
    assert f"{mean:.2f}" in text and f'data-value="{mean}"' in text


def test_a_variant_without_mixtures_has_no_numbers(tmp_path):
    text = without_data(written(tmp_path))
    row = text[text.index('data-value="C"') :].split("</tr>")[0]
    assert "no mixtures" in row and 'data-value=""' in row
    assert not re.search(r">\s*-?\d", row)


def test_names_of_users_cannot_become_markup(tmp_path):
    evil = '<script>alert("x")</script>'
    bad = example("SER", "indoor", "median")
    bad["mixture_id"] = bad["rule"] = evil
    bad["signals"][0]["name"] = f'"{evil}'
    text = written(
        tmp_path,
        examples=[bad],
        yaml=f"name: {evil}</pre>",
        facts={"System": evil, evil: evil},
        notes=[evil],
    )
    assert "<script>alert" not in text and text.count("<script>") == 1
    assert "&lt;script&gt;alert(&#34;x&#34;)" in text


def test_page_needs_no_network_and_has_no_double_ids(tmp_path):
    text = without_data(written(tmp_path))
    assert not re.search(r"https?://|src=\"(?!\")|@import|url\(", text)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert ids and len(ids) == len(set(ids))
    for link in re.findall(r'href="#([^"]+)"', text):
        assert link in ids
    assert re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", text) == []


def test_same_content_gives_same_bytes(tmp_path):
    assert written(tmp_path) == written(tmp_path)


def test_sound_keeps_its_length_and_level(tmp_path):
    text = written(tmp_path, examples=[example("R", "indoor", "worst", 2.345)])
    for samples, rate in sounds(text):
        assert rate == RATE and len(samples) == round(2.345 * RATE)
        assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)
    assert "so that none of them clips" not in text


def test_loud_examples_are_scaled_together(tmp_path):
    text = written(tmp_path, examples=[example("R", "indoor", "worst", gain=8)])
    quiet = written(tmp_path, examples=[example("R", "indoor", "worst")])
    factor = float(re.search(r"played at (\S+) times their level", text)[1])
    for (samples, _), (before, _), gain in zip(
        sounds(text), sounds(quiet), (8, 1, 1)
    ):
        assert samples == pytest.approx(gain * factor * before, abs=3e-3)
    assert np.abs(sounds(text)[0][0]).max() == pytest.approx(1, abs=1e-3)


def test_page_of_next_to_nothing(tmp_path):
    """One row without a number, no epochs, no strata, no examples."""
    scores = score_rows()[:1]
    scores.iloc[:, 4:] = np.nan
    empty = pd.DataFrame()
    strata = page_content.strata_of(scores)[:0]
    text = written(
        tmp_path,
        scores=scores,
        summary=summary_of(scores),
        strata=strata,
        curve=empty,
        examples=[],
        no_examples="the corpus is gone",
    )
    assert "this run only loaded trained weights" in text
    assert "There are no examples: the corpus is gone." in text
    assert 'class="figure"' not in text and "nan" not in text.lower()


def test_plots_of_one_row_and_of_no_number():
    scores = score_rows()[:1].assign(setting="dry")
    curve = pd.DataFrame({"epoch": [1], "si_sdri": 2.0, "train_loss": 1.0})
    pictures = media.plots(scores, curve.assign(ci_low=np.nan, ci_high=np.nan))
    assert all(pictures.values()) and len(pictures) == 3
    scores["si_sdri"] = np.nan
    assert not any(media.plots(scores, curve[:0]).values())


def test_silence_and_a_click_have_a_spectrogram():
    signals = {"mixture": np.zeros(800), "estimate s1": np.ones(1)}
    found = media.sound_and_picture(signals, RATE)["signals"]
    assert all(s["picture"].startswith("data:image/jpeg") for s in found)


def test_screenshot_without_a_browser_says_what_to_install(tmp_path):
    report = tmp_path / "report.html"
    report.touch()
    done = subprocess.run(
        [sys.executable, ROOT / "tools/screenshot.py", report, "out.png"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "sudo apt install chromium" in done.stderr


def test_plots_of_a_large_test_are_fast_and_small():
    scores = pd.concat([score_rows()] * 1000, ignore_index=True)
    generator = np.random.default_rng(0)
    for name in ("si_sdri", "si_sdr_mix"):
        scores[name] += generator.standard_normal(len(scores))
    begin = time.monotonic()
    pictures = media.plots(scores, page_content.CURVE)
    assert time.monotonic() - begin < 5
    assert all(len(picture) < 600_000 for picture in pictures.values())
