"""Strata: which mixtures share a line of the report."""

import numpy as np
import pandas as pd
import pytest
from reporting.tables import cells, stratify, to_markdown

IDS = ["007", "1e5", "a", "b"]


@pytest.fixture
def write(tmp_path):
    """A function that writes manifests and metadata with columns of texts."""

    def write(columns, ids=IDS, **metadata):
        table = pd.DataFrame({"ID": ids, **columns})
        for variant in ("SER", "S"):
            table.to_csv(tmp_path / f"test_{variant}.csv", index=False)
        metadata = pd.DataFrame({"ID": ids, **metadata})
        metadata.to_csv(tmp_path / "test_metadata.csv", index=False)
        return str(tmp_path)

    return write


def scores_of(ids=IDS, variants=("SER",), **columns):
    """One row for each mixture and variant, all scores 0."""
    rows = [(name, variant) for name in ids for variant in variants]
    table = pd.DataFrame(rows, columns=["ID", "variant"])
    table["setting"] = np.where(table["variant"] == "S", "outdoor", "indoor")
    table = table.assign(source="s1", si_sdr=0.0, si_sdr_mix=0.0, si_sdri=0.0)
    return table.assign(**columns)


def test_input_si_sdr_is_cut_into_bins_of_5_db():
    values = [-7.0, -5.0, -5.001, -0.0, 4.999, 5.0, np.nan, -10.0]
    scores = scores_of([f"m{n}" for n in range(8)], si_sdr_mix=values)
    table = stratify(scores, ["si_sdr_mix"], "SB", "")
    # The lower bound belongs to a bin; -0 is 0.
    assert list(zip(table["value"], table["n"])) == [
        ("-10 to -5 dB", 3),
        ("-5 to 0 dB", 1),
        ("0 to 5 dB", 2),
        ("5 to 10 dB", 1),
        ("(none)", 1),
    ]


TWELVE = [str(number) for number in range(12)]


@pytest.mark.parametrize(
    "name, values, expected",
    [
        # Few numbers are strata, each in their order.
        (
            "x",
            ["5", "-5", "-4", "0", "-4.0", "10", "5e0"],
            {"-5": 1, "-4": 2, "0": 1, "5": 2, "10": 1},
        ),
        ("x", TWELVE[::-1], dict.fromkeys(TWELVE, 1)),
        # Many are cut into quarters, named by smallest and largest number.
        (
            "decay",
            [str(number / 2) for number in range(40, 0, -1)],
            {f"{n + 0.5:g} to {n + 5}": 10 for n in range(0, 20, 5)},
        ),
        (
            "decay",
            [str(1_234_567 + number) for number in range(16)],
            {f"{1_234_567 + n} to {1_234_570 + n}": 4 for n in range(0, 16, 4)},
        ),
        ("decay", [*TWELVE, "12"], {"0 to 3": 4, "4 to 6": 3, "7 to 9": 3,
                                    "10 to 12": 3}),
        (
            "decay",
            ["3"] * 60 + [str(number) for number in range(10, 30)],
            {"3 to 3": 60, "10 to 29": 20},
        ),
        # Outdoor rows have no parameters of reverberation.
        ("decay", ["", "0.3", "", "-0.2"], {"-0.2": 1, "0.3": 1, "(none)": 2}),
        ("scene_class", ["", "z", "", "b"], {"b": 1, "z": 1, "(none)": 2}),
        ("x", ["", ""], {"(none)": 2}),
        # Speakers are names although they are numbers.
        (
            "speaker1",
            [str(1000 + number) for number in range(20)],
            {str(1000 + number): 1 for number in range(20)},
        ),
        # Strange names stay as they are.
        *(
            ("scene_class", values, dict.fromkeys(sorted(values), 1))
            for values in (
                ["None", "nan", "NA", "null"],
                ["inf", "1", "2", "Infinity"],
                ["007", "7", "07", "70"],
                ["1_0", "10", "٣", "3"],
                ["a|b", "a\nb", "żółć", "(x) # *"],
            )
        ),
    ],
)  # fmt: skip
def test_strata_of_values_in_their_order(write, name, values, expected):
    ids = [f"m{number:02d}" for number in range(len(values))]
    folder = write({name: values}, ids)
    table = stratify(scores_of(ids), [name], "SB", folder)
    assert list(zip(table["value"], table["n"])) == list(expected.items())


def test_mixtures_whose_ids_look_like_numbers_find_their_row(write):
    folder = write({"x": list("wxyz")}, SSR=["-5", "5", "-5", "0"])
    scores = scores_of(si_sdri=[1.0, 2.0, 3.0, 4.0])
    table = stratify(scores, ["x", "SSR"], "SB", folder)
    found = dict(zip(table["value"], table["si_sdri_mean"]))
    assert found == {"w": 1, "x": 2, "y": 3, "z": 4, "-5": 2, "0": 4, "5": 2}


def test_mixture_listed_twice_counts_once(write):
    twice = ["1", "1", "2"]
    folder = write({"x": twice}, ["a", "a", "b"], SSR=twice)
    table = stratify(scores_of(["a", "b"]), ["x", "SSR"], "SB", folder)
    assert list(table["value"]) == ["1", "2"] * 2
    assert list(table["n"]) == [1] * 4


def test_stratum_with_one_outdoor_mixture_has_an_interval(write):
    """Of few mixtures that share an SSR, one is soon the only one outdoors."""
    folder = write({"ssr_db": ["3"] * 4})
    scores = scores_of(si_sdri=[1.0, 2.0, 3.0, 6.0])
    scores.loc[3, ["variant", "setting"]] = "S", "outdoor"
    row = stratify(scores, ["ssr_db"], "SB", folder).iloc[0]
    assert row["si_sdri_mean"] == 3
    assert row["si_sdri_ci_low"] == pytest.approx(3 - 3.182446 * np.sqrt(7 / 6))


def test_setting_variant_and_source_are_strata():
    names = ["setting", "variant", "source", "setting"]  # twice is once
    table = stratify(scores_of(["a"], ("S", "SER")), names, "SB", "")
    assert table[["stratum", "value", "n"]].values.tolist() == [
        ["setting", "indoor", 1],
        ["setting", "outdoor", 1],
        ["variant", "SER", 1],
        ["variant", "S", 1],
        ["source", "s1", 2],
    ]


def test_stratum_of_few_rows_has_a_mean_and_a_mark(write):
    ids = [f"m{number:02d}" for number in range(11)]
    folder = write({"scene_class": ["bus"] * 10 + ["park"]}, ids)
    scores = scores_of(ids, si_sdri=np.arange(11.0))
    table = stratify(scores, ["scene_class"], "SB", folder)
    bus, park = table.to_dict("records")
    assert (bus["n"], bus["few"]) == (10, False)
    assert (park["n"], park["few"], park["si_sdri_mean"]) == (1, True, 10)
    assert np.isnan(park["si_sdri_std"]) and np.isnan(park["si_sdri_ci_low"])
    text = to_markdown(cells(table, "mean"))
    assert "| park | 1 (few) | 1 |" in text and "| bus | 10 | 10 |" in text


@pytest.mark.parametrize("task, n", [("ES", 1), ("EB", 1), ("SB", 2)])
def test_c_counts_in_strata_as_in_means(task, n):
    table = stratify(scores_of(["a"], ("SER", "C")), ["setting"], task, "")
    assert list(table["n"]) == [n]


def test_default_strata_are_those_that_the_corpus_has(write):
    """Libri2Mix says nothing of events and speech-to-speech ratios."""
    empty = {"ssr_db": [""] * 4, "event_class": [""] * 4}
    folder = write({**empty, "scene_class": ["bus", "", "", ""]})
    table = stratify(scores_of(), None, "SB", folder)
    assert list(table["stratum"]) == ["scene_class"] * 2 + ["si_sdr_mix"]


def test_unknown_stratum_names_all_that_there_are(write):
    folder = write({"scene_class": ["x"] * 4, "s1_wav": ["x"] * 4}, SSR=[1] * 4)
    with pytest.raises(ValueError, match="'ssr' is not a column") as error:
        stratify(scores_of(), ["ssr"], "SB", folder)
    choices = str(error.value).split("choose from ")[1].split(", ")
    assert set(choices) == {*scores_of(), "scene_class", "SSR"}
    assert len(choices) == 9


@pytest.mark.parametrize("name", ["test_SER.csv", "test_metadata.csv"])
def test_missing_manifest_is_named(write, tmp_path, name):
    folder = write({"scene_class": ["x"] * 4}, SSR=["1"] * 4)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing; prepare"):
        stratify(scores_of(), ["SSR"], "SB", folder)
    # Not needed for what the scores themselves tell.
    stratify(scores_of(), ["si_sdr_mix"], "SB", folder)


def test_mixture_of_another_corpus_is_named(write):
    folder = write({"ssr_db": ["1"] * 4}, SSR=["1"] * 4)
    scores = scores_of([*IDS, "foreign"])
    for name in ("ssr_db", "SSR"):
        with pytest.raises(ValueError, match="1 tested mixtures .* foreign"):
            stratify(scores, [name], "SB", folder)
