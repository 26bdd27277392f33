"""report.py compare: differences that are known, and what is refused."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from recipe import SEPARATION
from reporting.compare import compare, readable
from reporting.report import main
from scipy import stats
from summary import write_csv

ROWS = [
    (f"{setting}{number:02d}", variant, setting)
    for setting, count, variants in (
        ("indoor", 12, ("SER", "R")),
        ("outdoor", 4, ("S",)),
    )
    for number in range(count)
    for variant in variants
]
# Without ties, whose p takes longer.
GAINS = [
    {"SER": 1.0, "R": 3.0, "S": -1.0}[variant] + 1e-6 * number
    for number, (_, variant, _) in enumerate(ROWS)
]
NOISE = np.random.default_rng(1).normal(0.3, 1, len(ROWS))


def scores_of(gains, sources=("s1",)):
    """A run whose SI-SDRi is above 5 dB by a gain for each row."""
    table = pd.DataFrame(ROWS, columns=["ID", "variant", "setting"])
    table = table.assign(source=[list(sources)] * len(table), gain=gains)
    table = table.explode("source", ignore_index=True)
    si_sdri = 5 + table.pop("gain")
    mix, pesq = np.random.default_rng(9).normal(size=(2, len(table)))
    table = table.assign(si_sdr=si_sdri + mix, si_sdr_mix=mix, si_sdri=si_sdri)
    table = table.assign(pesq=pesq, pesq_mix=1.0)
    labels = ["ID", "variant", "setting", "source"]
    return table.sort_values(labels, ignore_index=True)


def lines_of(table, score="si_sdri"):
    return table[table["score"] == score].set_index(["variant", "setting"])


def near(values):
    """Up to what keeps ties away."""
    return pytest.approx(values, abs=1e-4)


def test_known_differences_to_the_first_have_their_sign():
    runs = {"A": scores_of(0), "B": scores_of(GAINS), "C": scores_of(NOISE)}
    found = compare(runs)
    assert list(found["run"].unique()) == ["B", "C"]
    assert set(found["score"]) == {"si_sdr", "si_sdri", "pesq"}
    lines = lines_of(found[found["run"] == "B"])
    expected = {
        ("SER", "indoor"): (1, 12, 12),
        ("R", "indoor"): (3, 12, 12),
        ("S", "outdoor"): (-1, 4, 4),
        ("indoor macro mean", "indoor"): (2, 24, 12),
        ("indoor micro mean", "indoor"): (2, 24, 12),
        ("outdoor macro mean", "outdoor"): (-1, 4, 4),
        ("outdoor micro mean", "outdoor"): (-1, 4, 4),
        ("macro mean", ""): (1, 28, 16),
        ("micro mean", ""): (44 / 28, 28, 16),
    }
    assert list(lines.index) == list(expected)
    for line, values in zip(lines.itertuples(), expected.values()):
        assert (line.difference, line.n, line.mixtures) == near(values)
        # The same for all mixtures: known exactly.
        assert (line.ci_low, line.ci_high) == near((values[0], values[0]))
        assert (line.mean_first, line.mean) == near((5, 5 + values[0]))
    back = lines_of(compare({"B": runs["B"], "A": runs["A"]}))["difference"]
    assert back.tolist() == (-lines["difference"]).tolist()
    macro = found[(found["run"] == "C") & (found["variant"] == "macro mean")]
    gains = pd.Series(NOISE).groupby([row[1] for row in ROWS]).mean()
    assert lines_of(macro)["difference"].tolist() == near([gains.mean()])
    text = readable(found)
    assert text["run"].tolist() == ["B"] * 9 + ["C"] * 9
    assert text.loc[0, "si sdri"].startswith("+1.00 [+1.00, +1.00] p=0.00049")


def test_paired_test_is_scipys_on_the_means_of_mixtures():
    sources = ("s1", "s2")
    first, second = scores_of(0, sources), scores_of(NOISE, sources)
    lines = lines_of(compare({"A": first, "B": second}))
    of_ser = [g for g, row in zip(NOISE, ROWS) if row[1] == "SER"]
    line = lines.loc[("SER", "indoor")]
    assert (line["n"], line["mixtures"]) == (24, 12)
    assert line["p_value"] == pytest.approx(stats.wilcoxon(of_ser).pvalue)
    # Not on rows: these are twice as many as independent mixtures.
    assert line["p_value"] != pytest.approx(stats.wilcoxon(of_ser * 2).pvalue)
    # A row's share of the macro mean is smaller the more its variant has.
    gains = pd.Series(NOISE)
    sizes = [{"S": 4}.get(variant, 12) for _, variant, _ in ROWS]
    ids = [row[0] for row in ROWS]
    for mean, shares in (("macro", gains / sizes), ("micro", gains)):
        shares = shares.groupby(ids).sum()
        for name, part in (("", shares), ("indoor", shares[:12])):
            found = lines.loc[(f"{name} {mean} mean".lstrip(), name), "p_value"]
            assert found == pytest.approx(stats.wilcoxon(part).pvalue)


def test_interval_of_the_difference_is_paired():
    """Mixtures differ by 100 dB, the runs by 1 dB on each of them."""
    spread = np.linspace(0, 100, len(ROWS))
    runs = {"A": scores_of(spread), "B": scores_of(spread + 0.1 * NOISE)}
    line = lines_of(compare(runs)).loc[("SER", "indoor")]
    of_ser = [0.1 * g for g, row in zip(NOISE, ROWS) if row[1] == "SER"]
    expected = stats.t.interval(0.95, 11, np.mean(of_ser), stats.sem(of_ser))
    assert (line["ci_low"], line["ci_high"]) == pytest.approx(expected)


def test_identical_runs_do_not_differ():
    lines = compare({"A": scores_of(GAINS), "B": scores_of(GAINS)})
    assert (lines[["difference", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (lines["p_value"] == 1).all()


def test_silent_estimates_of_both_runs_are_counted():
    first, second = scores_of(0), scores_of(GAINS)
    second.loc[second["variant"] == "S", "si_sdr"] = -100.0
    first.loc[first.index[first["variant"] == "S"][0], "si_sdr"] = -100.0
    text = readable(compare({"A": first, "B": second}))
    text = text.set_index(["variant", "setting"])["n"]
    n = int((first["variant"] == "S").sum())
    assert text["S", "outdoor"] == f"{n} (1 and {n} silent)"
    assert text["SER", "indoor"] == "12"


def test_rows_that_failed_in_one_run_are_left_out_of_both():
    first, second = scores_of(0), scores_of(GAINS)
    at = first.set_index(["ID", "variant"]).index.get_loc
    first.loc[at(("outdoor00", "S")), "si_sdri"] = np.nan
    first.loc[at(("indoor01", "SER")), "si_sdri"] = -1000
    second.loc[at(("indoor01", "SER")), "si_sdri"] = np.nan
    found = compare({"A": first, "B": second})
    lines = lines_of(found)
    line = lines.loc[("SER", "indoor")]
    assert (line["n"], line["left_out"], line["mixtures"]) == (11, 1, 11)
    assert (line["difference"], line["mean_first"]) == near((1, 5))
    assert lines.loc[("S", "outdoor"), "left_out"] == 1
    assert lines.loc[("micro mean", ""), "left_out"] == 2
    assert (lines_of(found, "pesq")["left_out"] == 0).all()
    text = readable(found).loc[0]
    assert text["n"] == "12" and text["si sdri"].endswith(" (1 left out)")
    for table in (first, second):
        table["si_sdri"] = np.nan
    text = readable(compare({"A": first, "B": second})).loc[0]
    assert text["n"] == "12" and text["si sdri"] == "- (12 left out)"
    assert "left out" not in text["pesq"]


def test_one_mixture_has_a_difference_and_nothing_more():
    first, second = (scores_of(gains)[:1] for gains in (0, GAINS))
    found = lines_of(compare({"A": first, "B": second}))
    assert found["difference"].tolist() == near([3] * 5)
    assert found[["ci_low", "ci_high", "p_value"]].isna().all(axis=None)


def test_c_is_compared_but_no_part_of_the_means_of_enhancement():
    runs = {
        name: scores_of(gains).replace({"variant": {"R": "C"}})
        for name, gains in (("A", 0), ("B", GAINS))
    }
    difference = lines_of(compare(runs))["difference"]
    assert difference["SER", "indoor"] == near(1)
    assert difference["C", "indoor"] == near(3)
    assert difference["indoor macro mean", "indoor"] == near(1)
    assert difference["indoor micro mean", "indoor"] == near(1)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that writes scores as a run of the working directory."""

    def write(name, scores):
        (tmp_path / name).mkdir()
        write_csv(scores, tmp_path / name / "test_scores.csv")
        return name

    monkeypatch.chdir(tmp_path)
    return write


def test_scores_that_only_one_run_has_are_not_compared(run, capsys):
    first = scores_of(0).drop(columns=["pesq", "pesq_mix"])
    for runs in (
        (run("a", first), run("b", scores_of(NOISE))),
        ("b", "a"),
    ):
        assert main(["compare", *runs]) == 0
        printed = capsys.readouterr()
        assert "pesq" not in printed.out
        assert printed.err == (
            f"only in one of {runs[0]} and {runs[1]}: pesq, pesq_mix\n"
        )


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda t: t[t["variant"] != "R"],
            "12 of 28 are in only one of a and b, for instance indoor00, R, "
            "indoor, s1 (ID, variant, setting, source); test both",
        ),
        (
            lambda t: pd.concat([t, t[:1].assign(ID="new")]),
            "1 of 29 are in only one of a and b, for instance new",
        ),
        (
            lambda t: t.assign(source="s1+s2"),
            "56 of 56 are in only one of a and b",
        ),
        (
            lambda t: t.assign(
                si_sdr_mix=t["si_sdr_mix"] - 0.02 * (t["ID"] == "indoor01")
            ),
            "not tested on the same signals: the mixture's own SI-SDR differs in "
            "2 of 28 rows of a and b, for instance in indoor01, R, indoor, s1",
        ),
        (
            lambda t: pd.concat([t, t[:1]]),
            "found two of indoor00, R, indoor, s1",
        ),
        (lambda t: t.drop(columns="si_sdri"), "expected the columns ID"),
    ],
)
def test_refusal_names_the_difference(run, capsys, change, message):
    runs = run("a", scores_of(0)), run("b", change(scores_of(NOISE)))
    assert main(["compare", *runs]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == "" and "Traceback" not in printed.err


@pytest.mark.parametrize("again", ["{0}", "a/", "a/../a", "a", "link", None])
def test_run_is_not_compared_with_itself_or_nothing(
    run, tmp_path, capsys, again
):
    folder = str(tmp_path / run("a", scores_of(0)))
    (tmp_path / "link").symlink_to(folder)
    runs = [folder] if again is None else [folder, again.format(folder)]
    assert main(["compare", *runs]) == 1
    assert "name two different runs" in capsys.readouterr().err


def test_missing_run_and_folder_are_named(run, capsys):
    runs = run("a", scores_of(0)), run("b", scores_of(NOISE))
    assert main(["compare", "a", "c"]) == 1
    assert "c/test_scores.csv is missing" in capsys.readouterr().err
    assert main(["compare", *runs, "--output", "absent/table.csv"]) == 1
    assert "absent" in capsys.readouterr().err


def test_command_writes_its_table_without_packages_of_metrics_or_plots(run):
    """Two CSV files can be compared where pesq does not compile."""
    run("a", scores_of(0)), run("b", scores_of(9 + NOISE))
    script = str(SEPARATION / "report.py")
    command = [script, "compare", "a", "b/", "--output", "table.csv"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert all(line.startswith("import time:") for line in lines)
    assert {"pandas", "reporting.compare"} < loaded
    heavy = "pesq pystoi matplotlib jinja2 inference reliability"
    assert not loaded & set(heavy.split())
    assert done.stdout.startswith("Differences to a [95 % confidence interval]")
    table = pd.read_csv("table.csv", keep_default_na=False, na_values=[""])
    assert list(table) == (
        "run variant setting score n left_out mixtures mean_first mean "
        "difference ci_low ci_high p_value silent_first silent".split()
    )
    assert set(table["run"]) == {"b"}
    line = lines_of(table).loc[("SER", "indoor")]
    text = f"| b | SER | indoor | 12 | {line['difference']:+.2f} ["
    assert text in done.stdout
    # However small a p is, it is not written as 0.
    assert line["p_value"] == pytest.approx(2 / 2**12, rel=1e-3)
