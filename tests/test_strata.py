"""Strata: which mixtures share a line of the report.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import pytest
from reporting.strata import strata_of, stratify
from reporting.tables import texts_of

IDS = ["007", "1e5", "a", "b"]


def write(folder, columns, ids=IDS, metadata=None):
    """Manifests of SER and S, and the metadata, with columns of texts."""
    table = pd.DataFrame({"ID": ids, **columns})
    for variant in ("SER", "S"):
        table.to_csv(folder / f"test_{variant}.csv", index=False)
    metadata = pd.DataFrame({"ID": ids, **(metadata or {})})
    metadata.to_csv(folder / "test_metadata.csv", index=False)


def scores_of(ids=IDS, variants=("SER",), **columns):
    """One row for each mixture and variant, all scores 0."""
    rows = [(name, variant) for name in ids for variant in variants]
    table = pd.DataFrame(rows, columns=["ID", "variant"])
    table["setting"] = np.where(table["variant"] == "S", "outdoor", "indoor")
    table["source"] = "s1"
    table[["si_sdr", "si_sdr_mix", "si_sdri"]] = 0.0
    return table.assign(**columns)


def values_of(folder, name, values, ids=None):
    """The strata of mixtures with these values in the manifest."""
    ids = ids or [f"m{number}" for number in range(len(values))]
    write(folder, {name: values}, ids)
    return strata_of(scores_of(ids), name, str(folder))


def markdown_of(table):
    return texts_of(table, table)["test_strata.md"]


def order_of(strata):
    return [c for c in strata.cat.categories if c in set(strata)]


def test_input_si_sdr_is_cut_into_bins_of_5_db():
    values = [-7.0, -5.0, -5.001, -0.0, 4.999, 5.0, np.nan, -10.0]
    scores = pd.DataFrame({"si_sdr_mix": values})
    found = strata_of(scores, "si_sdr_mix", "")
    # The lower bound belongs to a bin; -0 is 0.
    bins = ["-10 to -5 dB", "-5 to 0 dB", "0 to 5 dB", "5 to 10 dB", "(none)"]
    assert list(found) == [bins[number] for number in (0, 1, 0, 2, 2, 3, 4, 0)]
    assert order_of(found) == bins


def test_few_numbers_are_strata_each_in_their_order(tmp_path):
    found = values_of(tmp_path, "ssr_db", ["5", "-5", "-4", "0", "-4", "10"])
    assert order_of(found) == ["-5", "-4", "0", "5", "10"]
    scores = scores_of([f"m{number}" for number in range(6)])
    table = stratify(scores, ["ssr_db"], "SB", str(tmp_path))
    assert list(table["value"]) == ["-5", "-4", "0", "5", "10"]
    assert list(table["n"]) == [1, 2, 1, 1, 1]


def test_many_numbers_are_cut_into_quarters(tmp_path):
    values = [str(number / 2) for number in range(1, 41)]
    found = values_of(tmp_path, "decay", values[::-1])
    assert order_of(found) == [
        "0.5 to 5.375",
        "5.375 to 10.25",
        "10.25 to 15.12",
        "15.12 to 20",
    ]
    assert set(found.value_counts()[order_of(found)]) == {10}


def test_quarters_of_repeated_and_of_close_numbers_differ(tmp_path):
    exact = [str(number) for number in range(1, 14)]
    counts = values_of(tmp_path, "x", exact).value_counts()
    assert counts["1 to 4"] == counts["7 to 10"] == 3
    assert counts["10 to 13"] == 4  # the last bound belongs to it
    repeated = ["3"] * 60 + [str(number) for number in range(10, 30)]
    found = values_of(tmp_path, "x", repeated)
    assert found.value_counts().to_dict() == {
        "3 to 4.75": 60,
        "4.75 to 29": 20,
        "(none)": 0,
    }
    close = [str(1_234_567 + number) for number in range(20)]
    found = values_of(tmp_path, "x", close)
    assert found.nunique() == 4
    close = ["1234567", "1234568"]
    assert list(values_of(tmp_path, "x", close)) == close


def test_numbers_written_differently_are_one_stratum(tmp_path):
    found = values_of(tmp_path, "x", ["0.50", "0.5", "5e-1", "1"])
    assert list(found) == ["0.5", "0.5", "0.5", "1"]


def test_empty_cells_are_a_stratum_at_the_end(tmp_path):
    """Outdoor rows have no parameters of reverberation."""
    found = values_of(tmp_path, "decay", ["", "0.3", "", "-0.2"])
    assert order_of(found) == ["-0.2", "0.3", "(none)"]
    found = values_of(tmp_path, "scene_class", ["", "park", "", "bus"])
    assert order_of(found) == ["bus", "park", "(none)"]
    assert set(values_of(tmp_path, "x", ["", ""])) == {"(none)"}


@pytest.mark.parametrize(
    "values",
    [
        ["None", "nan", "NA", "null"],
        ["inf", "1", "2", "Infinity"],
        ["007", "7", "07", "70"],
        ["1_0", "10", "٣", "3"],
        ["a|b", "a\nb", "żółć", "(x) # *"],
    ],
)
def test_strange_names_stay_as_they_are(tmp_path, values):
    assert list(values_of(tmp_path, "scene_class", values)) == values


def test_strange_names_break_no_table(tmp_path):
    values = ["a|b", "a\nb", "<i>", "żółć"]
    write(tmp_path, {"scene_class": values})
    table = stratify(scores_of(), ["scene_class"], "SB", str(tmp_path))
    lines = markdown_of(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


def test_speakers_are_names_although_they_are_numbers(tmp_path):
    ids = [f"m{number}" for number in range(20)]
    speakers = [str(1000 + number) for number in range(20)]
    found = values_of(tmp_path, "speaker1", speakers, ids)
    assert list(found) == speakers


def test_mixtures_whose_ids_look_like_numbers_find_their_row(tmp_path):
    write(tmp_path, {"scene_class": ["w", "x", "y", "z"]})
    found = strata_of(scores_of(), "scene_class", str(tmp_path))
    assert "".join(found) == "wxyz"


def test_columns_of_the_corpus_keep_their_names(tmp_path):
    write(tmp_path, {}, metadata={"SSR": ["-5", "5", "-5", "0"]})
    found = strata_of(scores_of(), "SSR", str(tmp_path))
    assert list(found) == ["-5", "5", "-5", "0"]


def test_mixture_listed_twice_counts_once(tmp_path):
    ids = ["a", "a", "b"]
    write(tmp_path, {"ssr_db": ["1", "1", "2"]}, ids, {"SSR": ["1", "1", "2"]})
    for name in ("ssr_db", "SSR"):
        found = strata_of(scores_of(["a", "b"]), name, str(tmp_path))
        assert list(found) == ["1", "2"]


def test_stratum_with_one_outdoor_mixture_has_an_interval(tmp_path):
    """Of few mixtures that share an SSR, one is soon the only one outdoors."""
    write(tmp_path, {"ssr_db": ["3"] * 4})
    scores = scores_of(si_sdri=[1.0, 2.0, 3.0, 6.0])
    scores.loc[3, ["variant", "setting"]] = "S", "outdoor"
    row = stratify(scores, ["ssr_db"], "SB", str(tmp_path)).iloc[0]
    assert row["si_sdri_mean"] == 3
    assert row["si_sdri_ci_low"] == pytest.approx(3 - 3.182446 * np.sqrt(7 / 6))


def test_setting_variant_and_source_are_strata(tmp_path):
    scores = scores_of(["a"], ("S", "SER"))
    names = ["setting", "variant", "source"]
    table = stratify(scores, names, "SB", str(tmp_path))
    assert table[["stratum", "value", "n"]].values.tolist() == [
        ["setting", "indoor", 1],
        ["setting", "outdoor", 1],
        ["variant", "SER", 1],
        ["variant", "S", 1],
        ["source", "s1", 2],
    ]


def test_stratum_of_one_row_has_a_mean_and_a_mark(tmp_path):
    ids = [f"m{number:02d}" for number in range(11)]
    write(tmp_path, {"scene_class": ["bus"] * 10 + ["park"]}, ids)
    scores = scores_of(ids, si_sdri=np.arange(11.0))
    table = stratify(scores, ["scene_class"], "SB", str(tmp_path))
    bus, park = table.to_dict("records")
    assert (bus["n"], bus["few"]) == (10, False)
    assert (park["n"], park["few"], park["si_sdri_mean"]) == (1, True, 10)
    assert np.isnan(park["si_sdri_std"]) and np.isnan(park["si_sdri_ci_low"])
    text = markdown_of(table)
    assert "| park | 1 (few) |" in text and "| bus | 10 |" in text


@pytest.mark.parametrize("name", ["event_class", "eventClass"])
def test_event_class_comes_with_its_caveat(tmp_path, name):
    write(tmp_path, {name: ["dog"] * 4, "x": ["1"] * 4})
    table = stratify(scores_of(), [name, "x"], "SB", str(tmp_path))
    text = markdown_of(table)
    caveat = text.index("it is not always what is heard")
    assert text.index(f"## By {name}") < caveat < text.index("## By x")


@pytest.mark.parametrize("task, n", [("ES", 1), ("EB", 1), ("SB", 2)])
def test_c_counts_in_strata_as_in_means(tmp_path, task, n):
    scores = scores_of(["a"], ("SER", "C"))
    table = stratify(scores, ["setting"], task, str(tmp_path))
    assert list(table["n"]) == [n]


def test_stratum_named_twice_counts_once(tmp_path):
    scores = scores_of(["a"])
    table = stratify(scores, ["setting", "setting"], "ES", str(tmp_path))
    assert len(table) == 1


def test_default_strata_are_those_that_the_corpus_has(tmp_path):
    """Libri2Mix says nothing of events and speech-to-speech ratios."""
    empty = {"ssr_db": [""] * 4, "event_class": [""] * 4}
    write(tmp_path, {**empty, "scene_class": ["bus", "", "", ""]})
    table = stratify(scores_of(), None, "SB", str(tmp_path))
    assert list(table["stratum"]) == ["scene_class"] * 2 + ["si_sdr_mix"]


def test_unknown_stratum_names_all_that_there_are(tmp_path):
    write(tmp_path, {"scene_class": ["x"] * 4}, metadata={"SSR": ["1"] * 4})
    with pytest.raises(ValueError, match="'ssr' is not a column") as error:
        stratify(scores_of(), ["ssr"], "SB", str(tmp_path))
    for name in ("setting", "variant", "si_sdr_mix", "scene_class", "SSR"):
        assert name in str(error.value).split("choose from ")[1].split(", ")


@pytest.mark.parametrize("name", ["test_SER.csv", "test_metadata.csv"])
def test_missing_manifest_is_named(tmp_path, name):
    write(tmp_path, {"scene_class": ["x"] * 4}, metadata={"SSR": ["1"] * 4})
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing; prepare"):
        stratify(scores_of(), ["SSR"], "SB", str(tmp_path))
    # Not needed for what the scores themselves tell.
    stratify(scores_of(), ["si_sdr_mix"], "SB", str(tmp_path))


def test_mixture_of_another_corpus_is_named(tmp_path):
    write(tmp_path, {"ssr_db": ["1"] * 4}, metadata={"SSR": ["1"] * 4})
    scores = scores_of([*IDS, "foreign"])
    for name in ("ssr_db", "SSR"):
        with pytest.raises(ValueError, match="1 tested mixtures .* foreign"):
            stratify(scores, [name], "SB", str(tmp_path))
