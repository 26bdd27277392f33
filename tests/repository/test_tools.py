"""The tools that write results: figures, pictures and tables of READMEs."""

import doctest
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image
from recipe import ROOT
from reporting.report import main

sys.path.append(str(ROOT / "tools"))

import fault_table  # noqa: E402
import publish_demo  # noqa: E402
import screenshot  # noqa: E402

SCORES = """ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri,sdr,sdr_mix,\
pesq,pesq_mix,stoi,stoi_mix,estoi,estoi_mix
a,SER,indoor,s1,5.0,1.0,4.0,6,2,1.5,1.2,0.8,0.7,0.6,0.5
b,SER,indoor,s1,7.0,1.0,6.0,8,2,1.7,1.2,0.9,0.7,0.6,0.5
"""
LOG = (
    "epoch: {}, lr: 2.00e-03 - train waiting_seconds: 5.00e-01, train "
    "computing_seconds: {} - valid SI-SDRi: 2.98, valid n: 40\n"
)
FAKE_BROWSER = """#!/bin/sh
for word; do case $word in --screenshot=*) cp {} "${{word#*=}}";; esac; done
exit {}
"""


def test_figures_of_the_demo_are_published(tmp_path, monkeypatch):
    run, results = tmp_path / "run", tmp_path / "results"
    readme, recipe_readme = tmp_path / "README.md", tmp_path / "RECIPE.md"
    section = "kept\n<!-- {0}: begin -->\nold\n<!-- {0}: end -->\nkept too\n"
    readme.write_text(section.format("demo results"))
    names = "demo row", "demo time"
    recipe_readme.write_text("".join(map(section.format, names)))
    replace = publish_demo.replace_section
    monkeypatch.setattr(publish_demo, "RESULTS", results)
    monkeypatch.setattr(publish_demo, "RECIPE_README", recipe_readme)
    monkeypatch.setattr(
        publish_demo,
        "replace_section",
        lambda name, text, path=readme: replace(name, text, path),
    )
    run.mkdir()
    (run / "test_scores.csv").write_text(SCORES)
    assert main(["tables", str(run), "--strata", "si_sdr_mix"]) == 0
    # FileTrainLogger writes numbers above 100 with an exponent.
    log = LOG.format(1, "1.20e+02") + LOG.format(2, "80.00")
    (run / "train_log.txt").write_text(log)
    (tmp_path / "seconds").write_text("504\n")
    publish_demo.main(str(run), str(tmp_path / "seconds"))
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("kept\n<!-- demo results: begin -->\n| variant |")
    assert text.endswith("<!-- demo results: end -->\nkept too\n")
    assert "old" not in text and "504 s from its start" in text
    assert "| macro mean |  | 2 | 1.00 | 6.00 [-6.71, 18.71] | 5.00 [" in text
    text = recipe_readme.read_text(encoding="utf-8")
    assert "old" not in text and text.count("kept too") == 2
    assert "| 6.00 | 5.00 | 7.00 | 1.60 | 0.850 | not uploaded |" in text
    # (2 x 0.5 + 120 + 80) / 2, a half to even
    assert "takes 100 s to train on" in text
    for name in publish_demo.FILES:
        assert (results / name).read_bytes() == (run / name).read_bytes()
    names = {path.name for path in results.iterdir()}
    assert names == {*publish_demo.FILES, "README.md"}
    assert doctest.testmod(publish_demo) == (0, 2)


def test_screenshot_is_small_or_says_why_there_is_none(tmp_path, monkeypatch):
    taken, browser = tmp_path / "taken.png", tmp_path / "google-chrome"
    report, picture = tmp_path / "report.html", tmp_path / "report.png"
    monkeypatch.setenv("PATH", str(tmp_path))

    def fails(message):
        with pytest.raises(SystemExit, match=message):
            screenshot.main(str(report), str(picture))

    fails("There is no report at")
    report.touch()
    fails("sudo apt install chromium")
    browser.touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(screenshot, "BROWSERS", [browser.name])
    Image.effect_noise((40, 40), 90).save(taken)
    browser.write_text(FAKE_BROWSER.format(taken, 1))
    fails("The browser took no picture")
    browser.write_text(FAKE_BROWSER.format(taken, 0))
    screenshot.main(str(report), str(picture))
    assert Image.open(picture).size == (40, 40)
    Image.effect_noise((900, 900), 90).save(taken)
    fails("more than 500,000")


def test_faults_are_counted_by_promise_and_control(monkeypatch):
    """A test counts once for each promise, with the worst of its phases."""
    assert fault_table.promises()
    monkeypatch.setattr(fault_table, "promises", lambda: ["first", "other"])
    outcomes = fault_table.Outcomes("abc")
    for test, outcome, promises in (
        ("a", "passed", {"other": False, "first": False}),
        ("b", "failed", {"first": False}),
        ("c", "skipped", {"first": False}),
        ("d", "passed", {"first": True}),
    ):
        report = SimpleNamespace(nodeid=test, duration=20.0)
        report.user_properties = [("promise", x) for x in promises.items()]
        for report.outcome in ("passed", outcome, "passed"):
            outcomes.pytest_runtest_logreport(report)
    lost = SimpleNamespace(nodeid="e", user_properties=[])
    outcomes.pytest_runtest_logreport(lost)
    assert outcomes.lost == ["e"]
    cases = pd.DataFrame(outcomes.rows.values(), columns=fault_table.COLUMNS)
    assert fault_table.to_markdown(cases).splitlines()[2:] == [
        "| first | 1 of 3 (1 could not run here) | 1 of 1 |",
        "| other | 1 of 1 | – |",
    ]
    sentence = fault_table.sentence_on(cases, "a machine")
    assert "commit abc (4 cases): 4 minutes of one core on a mac" in sentence
