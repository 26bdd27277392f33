"""A tested run to report on, and its page as a tree of elements."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree.ElementTree import TreeBuilder

import numpy as np
import pandas as pd
import soundfile
import yaml
from prepare_polsess import prepare_polsess
from recipe import ROOT, SAMPLES
from reporting.report import main

MODEL = ROOT / "tests/samples/PolSESS_model"
VOID = {"meta", "link", "img", "br"}
VARIANTS = ["SER", "S", "C"]


def make_tested_run(folder):
    """A run for SB that tested the sample model on the sample corpus.

    Its scores are invented. Of the mixtures one PESQ failed, of the estimates one
    PESQ and one SI-SDR, and one was silent; no mixture had the variants E and R.
    """
    prepare_polsess(str(SAMPLES), str(folder / "save"), splits=["test"])
    tables = [
        pd.read_csv(folder / f"save/test_{variant}.csv").assign(variant=variant)
        for variant in VARIANTS
    ]
    labels = pd.concat(tables)[["ID", "variant", "setting"]]
    scores = labels.merge(pd.Series(["s1", "s2"], name="source"), "cross")
    generator = np.random.default_rng(1)
    means, spreads = [9, -1, 2, 1.5, 0.8, 0.6], [1, 1, 0.2, 0.2, 0.05, 0.05]
    drawn = generator.normal(means, spreads, (len(scores), 6))
    names = ["si_sdr", "si_sdr_mix", "pesq", "pesq_mix", "stoi", "stoi_mix"]
    scores[names] = drawn
    # Their order is another one by text, by number, and in the table.
    scores["si_sdr"] += scores["variant"].map({"SER": 0, "S": 3, "C": -7})
    scores.insert(6, "si_sdri", scores["si_sdr"] - scores["si_sdr_mix"])
    scores.loc[0, "pesq"] = scores.loc[6, "pesq_mix"] = np.nan
    scores.loc[5, ["si_sdr", "si_sdri"]] = np.nan
    scores.loc[3, ["si_sdr", "si_sdri"]] = -100, -100 - scores["si_sdr_mix"][3]
    scores.to_csv(folder / "test_scores.csv", index=False)
    empty = pd.DataFrame({"variant": [*VARIANTS, "E", "R", "macro mean"]})
    empty.to_csv(folder / "test_summary.csv", index=False)
    settings = {"init_from": str(MODEL), "data_folder": str(SAMPLES)}
    settings.update(seed=1234, number_of_epochs=10)
    text = f"{yaml.safe_dump(settings)}object: !new:os.remove [x]\n"
    (folder / "hyperparams.yaml").write_text(text)


def make_page(folder):
    """Such a run with its report."""
    make_tested_run(folder)
    assert main(["page", str(folder)]) == 0


class Page(HTMLParser):
    """A page as a tree, ``root``; each of its elements has its end."""

    def __init__(self, path):
        super().__init__()
        self.builder, self.open, self.folder = TreeBuilder(), [], path.parent
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        assert self.open == []
        self.root = self.builder.close()

    def handle_starttag(self, tag, attrs):
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        self.open.append(tag)
        if tag in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())
        self.builder.end(tag)

    def handle_data(self, data):
        if self.open:
            self.builder.data(data)

    def all(self, path):
        """The elements of a path below any other one."""
        return self.root.findall(f".//{path}")

    def facts(self):
        """Name -> text."""
        return dict(zip(map(words, self.all("dt")), map(words, self.all("dd"))))

    def sounds(self):
        """The name and the signal of each player."""
        return [
            (player.get("aria-label").split(":")[0], decoded(player.get("src")))
            for player in self.all("audio")
        ]


def words(element):
    """The text of an element, its parts with spaces between them."""
    return " ".join(" ".join(element.itertext()).split())


def content_of(uri):
    """The bytes of a data URI."""
    return base64.b64decode(re.fullmatch(r"data:\S+;base64,(.+)", uri)[1])


def decoded(uri):
    """The signal of a data URI, of 8 kHz."""
    signal, rate = soundfile.read(io.BytesIO(content_of(uri)))
    assert rate == 8000
    return signal
