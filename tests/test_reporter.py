"""The report of a test: its examples, its notes, and what survives an error.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import pytest
from reporting import reporter
from reporting.report import main
from reporting.reporter import Reporter, choose_examples, notes_on
from summary import summarise
from scoring import Utterance


def scores_of(values, variant="S", sources=("s1",), **more):
    """Rows of mixtures a, b, c ... with their SI-SDRi."""
    setting = "outdoor" if variant in ("SE", "S", "E") else "indoor"
    rows = [
        {
            "ID": "abcdefghijkl"[number],
            "variant": variant,
            "setting": setting,
            "source": source,
            "si_sdr": value,
            "si_sdr_mix": 0.0,
            "si_sdri": value,
            **more,
        }
        for number, value in enumerate(values)
        for source in sources
    ]
    return pd.DataFrame(rows)


def listen(mixture_id, variant):
    """An utterance of noise."""
    generator = np.random.default_rng(0)
    signal = generator.normal(0, 0.1, (4000, 1))
    setting = "outdoor" if variant in ("SE", "S", "E") else "indoor"
    labels = {"ID": mixture_id, "variant": variant, "setting": setting}
    return Utterance(labels, ["s1"], signal, signal, signal[:, 0])


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that reports on scores, and gives the content of the page."""

    def write(scores, variants=("S",), listen=listen, **options):
        pages = []

        def write_page(path, content):
            pages.append(content)
            with open(path, "w", encoding="utf-8") as file:
                file.write("page")

        monkeypatch.setattr(reporter, "write_page", write_page)
        Reporter(
            task="ES",
            variants=list(variants),
            output_folder=str(tmp_path),
            save_folder=str(tmp_path),
            sample_rate=8000,
            **options,
        ).write(scores, {"System": "x", "Task": "ES"}, listen)
        return pages[0]

    return write


@pytest.mark.parametrize(
    "values, median, worst",
    [
        ([3.0, 1.0, 2.0], "c", "b"),
        ([1.0, 4.0, 3.0, 2.0], "c", "a"),
        ([5.0, 5.0, 5.0], "b", "a"),  # ties: by ID
        ([np.nan, 2.0, 1.0, 3.0], "b", "c"),
        ([7.0, 6.0], "a", "b"),
    ],
)
def test_examples_are_a_median_and_the_worst(values, median, worst):
    scores = scores_of(values).sample(frac=1, random_state=0)
    assert choose_examples(scores) == [
        (median, "S", "median"),
        (worst, "S", "worst"),
    ]


def test_one_mixture_is_one_example_and_none_without_scores():
    assert choose_examples(scores_of([1.0])) == [("a", "S", "median")]
    assert choose_examples(scores_of([np.nan, np.nan])) == []


def test_examples_are_of_each_variant_and_of_c_in_each_setting():
    parts = [
        scores_of([1.0, 2.0], "SER"),
        scores_of([1.0], "C"),
        scores_of([np.nan, 2.0, 9.0], "C").assign(setting="outdoor"),
        scores_of([np.nan], "S"),
    ]
    assert choose_examples(pd.concat(parts, ignore_index=True)) == [
        ("b", "SER", "median"),
        ("a", "SER", "worst"),
        ("a", "C", "median"),
        ("c", "C", "median"),
        ("b", "C", "worst"),
    ]


def test_both_sources_of_a_mixture_count_for_an_example():
    scores = scores_of([0.0, 0.0, 0.0], sources=("s1", "s2"))
    scores["si_sdri"] = [9.0, -9.0, 1.0, 1.0, 4.0, 4.0]
    ids = [name for name, _, _ in choose_examples(scores)]
    assert ids == ["b", "a"]


def test_notes_count_failures_and_name_empty_variants():
    scores = scores_of([1.0, np.nan], pesq=np.nan, pesq_mix=1.0)
    notes = notes_on(scores, summarise(scores, ["S", "SER", "E"], "ES"))
    assert [note.split(":")[0] for note in notes] == [
        "1 of 2 rows have no si_sdr",
        "2 of 2 rows have no pesq",
        "no test mixture has the variant SER, E",
    ]
    scores = scores_of([1.0, 2.0])
    assert notes_on(scores, summarise(scores, ["S"], "ES")) == []


def test_failed_scores_end_the_run_with_a_warning(written, caplog):
    content = written(scores_of([1.0, np.nan, 3.0]))
    last = caplog.records[-1]
    assert last.levelname == "WARNING"
    assert "1 of 3 rows have no si_sdr: they are counted" in last.message
    assert content.notes == [last.message]


def test_report_holds_all_that_there_is(written, tmp_path):
    (tmp_path / "hyperparams.yaml").write_text("seed: 1")
    (tmp_path / "train_log.txt").write_text("epoch: 1 - valid SI-SDRi: 2.0\n")
    content = written(
        scores_of([1.0, 2.0, 4.0], stoi=0.5, stoi_mix=0.4),
        strata=["si_sdr_mix", "setting"],
        latex=True,
    )
    assert content.yaml == "seed: 1" and content.sample_rate == 8000
    assert content.curve["si_sdri"].tolist() == [2]
    assert content.strata["value"].tolist() == ["0 to 5 dB", "outdoor"]
    assert content.caveats == {}
    example = content.examples[0]
    assert (example.mixture_id, example.rule) == ("b", "median")
    assert example.setting == "outdoor"
    assert example.scores == {"si_sdr s1": 2, "si_sdri s1": 2, "stoi s1": 0.5}
    assert list(example.signals) == ["mixture", "estimate s1", "reference s1"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "hyperparams.yaml",
        "train_log.txt",
        "test_scores.csv",
        "report.html",
        *(f"test_summary.{kind}" for kind in ("csv", "md", "tex")),
        *(f"test_strata.{kind}" for kind in ("csv", "md")),
    }


def test_real_page_is_written(tmp_path):
    arguments = ("ES", ["S"], str(tmp_path), str(tmp_path), 8000, ["setting"])
    facts = {"System": "x", "Task": "ES"}
    Reporter(*arguments).write(scores_of([1.0, 2.0]), facts, listen)
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("broken", ["strata", "listen"])
def test_scores_are_safe_and_nothing_old_stays_when_a_step_fails(
    written, tmp_path, broken
):
    """A second test must not leave the summary of the first beside its own."""
    written(scores_of([7.0, 8.0]), strata=["setting"], latex=True)

    def fail(*_):
        raise ValueError("broken")

    options = {"strata": {"strata": ["x"]}, "listen": {"listen": fail}}[broken]
    with pytest.raises(ValueError, match="test_S.csv is missing|broken"):
        written(scores_of([1.0, 2.0]), **options)
    scores = pd.read_csv(tmp_path / "test_scores.csv")
    assert scores["si_sdri"].tolist() == [1, 2]
    left = {path.name for path in tmp_path.iterdir()} - {"test_scores.csv"}
    # The summary.md, which says that all is complete, would come last.
    assert left == ({"test_summary.csv"} if broken == "listen" else set())


def test_tables_of_a_run_are_the_same_again(written, tmp_path, capsys):
    scores = pd.concat(
        [
            scores_of([1 / 3, np.nan, np.pi, 4.0]),
            scores_of([2 / 3, 8.0], "SER"),
        ],
        ignore_index=True,
    )
    written(scores, ["SER", "S", "E"], strata=["setting"])
    names = ["test_summary.csv", "test_summary.md", "test_strata.md"]
    before = [(tmp_path / name).read_bytes() for name in names]
    assert main(["tables", str(tmp_path), "--strata", "setting"]) == 0
    assert [(tmp_path / name).read_bytes() for name in names] == before
    assert "| E |  | 0 (no mixtures) |" in capsys.readouterr().out
