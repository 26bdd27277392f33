"""`make results` writes the demo's figures into results/demo and READMEs."""

import sys

import pytest
from recipe import ROOT
from reporting.report import main

SCORES = """ID,variant,setting,source,si_sdr,si_sdr_mix,si_sdri,sdr,sdr_mix,\
pesq,pesq_mix,stoi,stoi_mix,estoi,estoi_mix
a,SER,indoor,s1,5.0,1.0,4.0,6,2,1.5,1.2,0.8,0.7,0.6,0.5
b,SER,indoor,s1,7.0,1.0,6.0,8,2,1.7,1.2,0.9,0.7,0.6,0.5
"""
LOG = (
    "epoch: {}, lr: 2.00e-03 - train waiting_seconds: 5.00e-01, train "
    "computing_seconds: {} - valid SI-SDRi: 2.98, valid n: 40\n"
)


@pytest.fixture
def publish_demo(tmp_path, monkeypatch):
    """The tool, with a README that has its sections."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import publish_demo

    readme = tmp_path / "README.md"
    for name in ("demo results", "demo row", "demo time"):
        with open(readme, "a", encoding="utf-8") as file:
            file.write(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n")
    monkeypatch.setattr(publish_demo, "RESULTS", tmp_path / "results")
    replace = publish_demo.replace_section
    monkeypatch.setattr(
        publish_demo,
        "replace_section",
        lambda name, text, _=None: replace(name, text, readme),
    )
    yield publish_demo
    sys.modules.pop("publish_demo")


def test_figures_of_the_demo_are_published(publish_demo, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "test_scores.csv").write_text(SCORES)
    assert main(["tables", str(run), "--strata", "si_sdr_mix"]) == 0
    # FileTrainLogger writes numbers above 100 with an exponent.
    log = LOG.format(1, "1.20e+02") + LOG.format(2, "80.00")
    (run / "train_log.txt").write_text(log)
    (tmp_path / "seconds").write_text("504\n")
    publish_demo.main(str(run), str(tmp_path / "seconds"))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "old" not in text and "504 s from its start" in text
    assert "| macro mean |  | 2 | 1.00 | 6.00 [-6.71, 18.71] | 5.00 [" in text
    assert "| 6.00 | 5.00 | 7.00 | 1.60 | 0.850 | not uploaded |" in text
    assert "takes 100 s to train on" in text
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {*publish_demo.FILES, "README.md"}
