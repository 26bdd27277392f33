"""Strata: which mixtures share a line of the report.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd
import pytest
from reporting.tables import cells, stratify, to_markdown

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


def counts_of(folder, name, values):
    """Stratum -> number of mixtures with these values in the manifest."""
    ids = [f"m{number:02d}" for number in range(len(values))]
    write(folder, {name: values}, ids)
    table = stratify(scores_of(ids), [name], "SB", str(folder))
    return dict(zip(table["value"], table["n"]))


def test_input_si_sdr_is_cut_into_bins_of_5_db():
    values = [-7.0, -5.0, -5.001, -0.0, 4.999, 5.0, np.nan, -10.0]
    scores = scores_of([f"m{n}" for n in range(8)], si_sdr_mix=values)
    table = stratify(scores, ["si_sdr_mix"], "SB", "")
    # The lower bound belongs to a bin; -0 is 0.
    assert dict(zip(table["value"], table["n"])) == {
        "-10 to -5 dB": 3,
        "-5 to 0 dB": 1,
        "0 to 5 dB": 2,
        "5 to 10 dB": 1,
        "(none)": 1,
    }
    assert list(table["value"])[0] == "-10 to -5 dB"
    assert list(table["value"])[-1] == "(none)"


def test_few_numbers_are_strata_each_in_their_order(tmp_path):
    found = counts_of(
        tmp_path, "x", ["5", "-5", "-4", "0", "-4.0", "10", "5e0"]
    )
    assert list(found) == ["-5", "-4", "0", "5", "10"]
    assert list(found.values()) == [1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    "values, expected",
    [
        (
            [str(number / 2) for number in range(40, 0, -1)],
            {
                "0.5 to 5": 10,
                "5.5 to 10": 10,
                "10.5 to 15": 10,
                "15.5 to 20": 10,
            },
        ),
        (
            [str(1_234_567 + number) for number in range(16)],
            {f"{1_234_567 + n} to {1_234_570 + n}": 4 for n in range(0, 16, 4)},
        ),
        (
            ["3"] * 60 + [str(number) for number in range(10, 30)],
            {"3 to 3": 60, "10 to 29": 20},
        ),
    ],
)
def test_many_numbers_are_cut_into_quarters(tmp_path, values, expected):
    """Named by their smallest and largest number."""
    found = counts_of(tmp_path, "decay", values)
    assert found == expected and list(found) == list(expected)


def test_empty_cells_are_a_stratum_at_the_end(tmp_path):
    """Outdoor rows have no parameters of reverberation."""
    found = counts_of(tmp_path, "decay", ["", "0.3", "", "-0.2"])
    assert list(found) == ["-0.2", "0.3", "(none)"]
    found = counts_of(tmp_path, "scene_class", ["", "park", "", "bus"])
    assert list(found) == ["bus", "park", "(none)"]
    assert counts_of(tmp_path, "x", ["", ""]) == {"(none)": 2}


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
    found = counts_of(tmp_path, "scene_class", values)
    assert list(found) == sorted(values)


def test_speakers_are_names_although_they_are_numbers(tmp_path):
    speakers = [str(1000 + number) for number in range(20)]
    assert list(counts_of(tmp_path, "speaker1", speakers)) == speakers


def test_mixtures_whose_ids_look_like_numbers_find_their_row(tmp_path):
    write(
        tmp_path, {"x": list("wxyz")}, metadata={"SSR": ["-5", "5", "-5", "0"]}
    )
    scores = scores_of(si_sdri=[1.0, 2.0, 3.0, 4.0])
    table = stratify(scores, ["x", "SSR"], "SB", str(tmp_path))
    found = dict(zip(table["value"], table["si_sdri_mean"]))
    assert found == {"w": 1, "x": 2, "y": 3, "z": 4, "-5": 2, "0": 4, "5": 2}


def test_mixture_listed_twice_counts_once(tmp_path):
    ids = ["a", "a", "b"]
    write(tmp_path, {"x": ["1", "1", "2"]}, ids, {"SSR": ["1", "1", "2"]})
    table = stratify(scores_of(["a", "b"]), ["x", "SSR"], "SB", str(tmp_path))
    assert list(table["value"]) == ["1", "2"] * 2
    assert list(table["n"]) == [1] * 4


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
    names = ["setting", "variant", "source", "setting"]  # twice is once
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
    text = to_markdown(cells(table, "mean"))
    assert "| park | 1 (few) |" in text and "| bus | 10 |" in text


@pytest.mark.parametrize("task, n", [("ES", 1), ("EB", 1), ("SB", 2)])
def test_c_counts_in_strata_as_in_means(tmp_path, task, n):
    scores = scores_of(["a"], ("SER", "C"))
    table = stratify(scores, ["setting"], task, str(tmp_path))
    assert list(table["n"]) == [n]


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
