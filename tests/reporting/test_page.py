"""report.html without a browser: its figures, pictures, sounds and names."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from page_content import Page, content_of, decoded, make_page, words
from PIL import Image
from reporting import media
from reporting.page import write_page
from reporting.runs import read_scores
from reporting.tables import stratify
from summary import summarise

METRICS = {"si_sdri": "SI-SDRi", "si_sdr": "SI-SDR", "pesq": "PESQ"}
METRICS["stoi"] = "STOI"
CURVE = pd.DataFrame({"epoch": [1, 2, 3], "si_sdri": [1.0, 3.0, 2.0]})
CURVE = CURVE.assign(ci_low=0.5, ci_high=3.5, train_loss=[-1.0, -3.0, -4.0])
EVIL = '<script>alert("x")</script>'
TIME = np.arange(8000) / 8000  # s


@pytest.fixture(scope="module")
def page(once):
    """The page of a tested run."""
    return Page(once("page", make_page) / "report.html")


@pytest.fixture
def write(page, tmp_path):
    """Writes a page of the run's scores, with another content; returns it."""

    def written(scores=None, **changes):
        scores = read_scores(page.folder) if scores is None else scores
        content = {
            "summary": summarise(scores, ["SER", "E"], "SB"),
            "strata": stratify(scores, ["variant"], "SB", ""),
            **{"scores": scores, "curve": CURVE[:0], "facts": {}, "yaml": ""},
            **{"notes": [], "examples": [], "no_examples": "it is gone"},
        }
        write_page(tmp_path / "report.html", **{**content, **changes})
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
        return Page(tmp_path / "report.html")

    return written


def example(name="mixture", rule="median", gain=1.0):
    """An example of two signals, as make_examples returns it."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * TIME[:2000])
    signals = {name: gain * tone, "estimate s1": tone}
    labels = {"variant": "R", "setting": "indoor", "rule": rule}
    labels.update(mixture_id=name, scores={"pesq s1": np.nan})
    return {**labels, **media.sound_and_picture(signals, 8000)}


def shown(row, column):
    """A number of a CSV as readers see it."""
    digits = 3 if "stoi" in column else 2
    return f"{float(row[column]):.{digits}f}" if row[column] else "-"


def rounded(value):
    """A value to sort by, with the digits of a CSV."""
    return f"{float(value):.6f}" if "." in value else value


def both(row, name, part):
    """The mixture, if it has this score, and the estimate."""
    mix = f"{name}_mix_{part}"
    before = f"{shown(row, mix)} → " if mix in row else ""
    return before + shown(row, f"{name}_{part}")


def cell_of(row, name, part):
    """Means with interval and failures; medians with standard deviations."""
    if part == "median":
        return f"{both(row, name, 'median')} σ {both(row, name, 'std')}"
    text, low = both(row, name, "mean"), f"{name}_ci_low"
    if row[low]:
        text += f" {shown(row, low)} to {shown(row, f'{name}_ci_high')}"
    for column, of in ((name, ""), (f"{name}_mix", "mixture: ")):
        if row.get(f"{column}_failures", "0") != "0":
            text += f" {of}{row[f'{column}_failures']} failed"
    return text


def line_of(row, part):
    """A row of a CSV as cells: what sorts them, and their words."""
    name = row.get("variant") or row["value"]
    line = [(name, name + " few rows" * (row.get("few") == "True"))]
    if "setting" in row:
        line.append((row["setting"], row["setting"]))
    silent = f" {row['silent']} silent" * (row["silent"] != "0")
    n = (row["n"], f"{row['n']} {row['mixtures']} mixtures{silent}")
    line.append(("", "no mixtures") if row["n"] == "0" else n)
    for name in METRICS:
        line.append((row[f"{name}_{part}"], cell_of(row, name, part)))
    return line


def read(path):
    """A CSV as texts."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_every_figure_is_the_one_of_the_csv_files(page):
    summary = read(page.folder / "test_summary.csv")
    strata = read(page.folder / "test_strata.csv")
    is_mean = summary["variant"].str.endswith(" mean")
    summary = pd.concat([summary[~is_mean], summary[is_mean]])
    by_name = dict(list(strata.groupby("stratum", sort=False)))
    expected = [(summary, "mean"), (summary, "median")]
    expected += [(rows, "mean") for rows in by_name.values()]
    for table, (rows, part) in zip(page.all("table"), expected, strict=True):
        found = [
            [(rounded(cell.get("data-value")), words(cell)) for cell in row]
            for row in table.findall("tbody/tr")
        ]
        assert found == [line_of(row, part) for row in rows.to_dict("records")]
        heads = [words(head) for head in table.findall("thead//th")]
        assert heads[-5:] == ["n", *METRICS.values()]
    titles = [words(title) for title in page.all("h3")[-len(by_name) :]]
    assert titles == [name.replace("_", " ") for name in by_name]
    assert set(strata["few"]) == {"True", "False"}
    (macro,) = summary[summary["variant"] == "macro mean"].to_dict("records")
    best = cell_of(macro, "si_sdri", "mean").removesuffix(" 1 failed")
    expected = [f"SI-SDRi {best}"]
    for name, label in list(METRICS.items())[1:]:
        mix, mean = both(macro, name, "mean").split(" → ")
        expected.append(f"{label} {mean} mixture {mix}")
    assert [words(box) for box in page.all("div[@class='kpi']")] == expected


def test_examples_have_the_scores_of_their_rows(page):
    scores = read(page.folder / "test_scores.csv")
    articles = page.all("article")
    assert len(articles) == 8
    for article in articles:
        variant, setting, rule = words(article.find("h3")).split()
        rows = scores[scores["ID"] == words(article.find("code"))]
        rows = rows[rows["variant"] == variant].set_index("source")
        assert (rows["setting"] == setting).all()
        expected = []
        for name in ("pesq", "si_sdr", "si_sdri", "stoi"):
            unit = " dB" * name.startswith("si_")
            for source, row in rows.iterrows():
                text = shown(row, name) + unit if row[name] else "no value"
                expected.append(f"{METRICS[name]} {source} {text}")
        assert sorted(map(words, article.findall("ul/li"))) == expected
        for path, name in ((".//audio", "aria-label"), (".//img", "alt")):
            ends = [e.get(name).split(": ")[1] for e in article.findall(path)]
            assert ends == [f"{variant} {setting}, {rule}"] * 5


def test_page_needs_no_network_and_has_no_double_ids(page):
    sources, links, ids = (
        [e.get(name) for e in page.all("*") if e.get(name)]
        for name in ("src", "href", "id")
    )
    assert len(sources) == 2 * 8 * 5 + 2
    assert all(source.startswith("data:") for source in sources)
    assert links.pop(0) == "data:," and len(ids) == len(set(ids))
    assert [link.removeprefix("#") for link in links] == ids
    code = " ".join(map(words, [*page.all("style"), *page.all("script")]))
    assert not any(x in code for x in ("//", "@import", "url(", "fetch"))
    (policy,) = page.all("meta[@http-equiv]")
    assert policy.get("content").startswith("default-src 'none'; ")
    assert all(image.get("alt") for image in page.all("img"))


def test_names_of_users_cannot_become_markup(write):
    page = write(
        examples=[example(f'"{EVIL}', EVIL)],
        yaml=f"lr: 0.001 # < 1\nname: {EVIL}</pre>",
        facts={"System": EVIL, EVIL: EVIL},
        notes=[EVIL],
    )
    assert "<script>alert" not in page.text and len(page.all("script")) == 1
    assert page.facts() == {"System": EVIL, EVIL: EVIL}
    assert words(page.all("h1")[0]) == words(page.all("header//li")[0]) == EVIL
    assert words(page.all("pre")[0]).startswith("lr: 0.001 # < 1 name")
    assert [e.get("aria-label") for e in page.all("audio")] == [
        f'"{EVIL}: R indoor, {EVIL}',
        f"estimate s1: R indoor, {EVIL}",
    ]


def test_loud_examples_are_scaled_together_and_others_not_at_all(write):
    page = write(examples=[example(), example(gain=8.0)])
    peaks = [np.abs(signal).max() for _, signal in page.sounds()]
    assert peaks == pytest.approx([0.5, 0.5, 1, 0.125], abs=1e-3)
    assert {len(signal) for _, signal in page.sounds()} == {2000}
    assert page.text.count("so that none of them clips") == 1
    assert "played at 0.25 times" in page.text
    assert {e.get("data-seconds") for e in page.all("audio")} == {"0.25"}
    assert "PESQ s1 no value" in words(page.all("article")[0])


def test_page_of_next_to_nothing(page, write):
    """One row without a number, no epochs, no strata, no examples."""
    scores = read_scores(page.folder)[:1]
    scores.iloc[:, 4:] = np.nan
    page = write(scores=scores, strata=stratify(scores, [], "SB", ""))
    assert "this run only loaded trained weights" in page.text
    assert "There are no examples: it is gone." in page.text
    assert "nan" not in page.text.lower()
    assert page.all("img") == page.all("*[@id='strata']") == []


def test_spectrograms_share_a_scale_and_have_low_frequencies_below():
    """A tone of 1 kHz, the same 35 dB below, and one below the scale."""
    tone = np.sin(2 * np.pi * 1000 * TIME)
    levels = {"mixture": 0, "estimate s1": -35, "reference s1": -90}
    signals = {name: tone * 10 ** (db / 20) for name, db in levels.items()}
    found = media.sound_and_picture(signals, 8000)
    assert found["kilohertz"] == 4 and found["factor"] == 1
    for signal, level in zip(found["signals"], (1, 0.5, 0), strict=True):
        content = io.BytesIO(content_of(signal["picture"]))
        rows = np.asarray(Image.open(content), dtype=float).mean(1)
        assert len(rows) == 129  # of half a window of 32 ms, and 0 Hz
        for place, value in ((96, level), (32, 0)):
            color = 255 * np.array(colormaps["magma"](float(value))[:3])
            assert rows[place] == pytest.approx(color, abs=40)


def test_silence_and_a_click_have_a_spectrogram():
    signals = {"mixture": np.zeros(800), "estimate s1": np.ones(1)}
    for signal in media.sound_and_picture(signals, 8000)["signals"]:
        assert content_of(signal["picture"]).startswith(b"\xff\xd8")
        sound = decoded(signal["sound"])
        assert sound == pytest.approx(signals[signal["name"]], abs=1e-3)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    drawn, savefig = [], Figure.savefig

    def keep(figure, *arguments, **options):
        drawn.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return drawn


def scores_of(values, variant, setting):
    """Scores that grow with the number of the mixture."""
    scores = pd.DataFrame({"si_sdri": np.array(values, dtype=float)})
    scores["si_sdr_mix"] = np.arange(len(values)) - 20.0
    scores["si_sdr"] = scores["si_sdri"] + scores["si_sdr_mix"]
    return scores.assign(variant=variant, setting=setting)


def test_plots_show_scores_medians_and_epochs(figures):
    squares = np.arange(1, 101) ** 2
    parts = [
        scores_of([5, np.nan], "C", "outdoor"),
        scores_of(squares, "SER", "indoor"),
    ]
    media.plots(pd.concat(parts, ignore_index=True), CURVE)
    boxes, points, curve = (figure.axes[0] for figure in figures)
    names = [label.get_text() for label in boxes.get_yticklabels()]
    assert names == ["SER indoor, n=100", "C outdoor, n=1"]
    assert boxes.yaxis_inverted()
    ends = {x for line in boxes.lines for x in line.get_xdata()}
    # The ends of whiskers and box, median and mean; then zero, and the other.
    quartiles = np.percentile(squares, [25, 50, 75])
    expected = [6**2, *quartiles, squares.mean(), 95**2, 0, 5]
    assert sorted(ends) == pytest.approx(sorted(expected))
    indoor, outdoor = (dots.get_offsets() for dots in points.collections)
    assert indoor.tolist() == [[k - 21, k**2] for k in range(1, 101)]
    assert outdoor.tolist() == [[-20, 5]]
    # The medians of ten groups of ten
    assert points.lines[0].get_xydata().tolist() == [
        [k - 20.5, (k**2 + (k + 1) ** 2) / 2] for k in range(5, 105, 10)
    ]
    validation, training = (line.get_xydata().tolist() for line in curve.lines)
    assert validation == [[1, 1], [2, 3], [3, 2]]
    assert training == [[1, -1], [2, -3], [3, -4]]
    band = curve.collections[0].get_paths()[0].get_extents().get_points()
    assert band.tolist() == [[1, 0.5], [3, 3.5]]
    names = [
        text.get_text()
        for axes in (points, curve)
        for text in (axes.xaxis.label, *axes.get_legend().get_texts())
    ]
    assert names[:3] == ["SI-SDR of the mixture in dB", "indoor", "outdoor"]
    assert names[3:] == ["epoch", "validation SI-SDRi", "training loss"]


def test_plots_of_many_rows_of_one_and_of_none():
    many = scores_of([1.0, 2.0] * 5000, "SER", "indoor")
    pictures = media.plots(many, CURVE).values()
    assert all(len(picture) < 400_000 for picture in pictures)
    curve = CURVE[:1].assign(ci_low=np.nan, ci_high=np.nan)
    pictures = media.plots(scores_of([1.0], "S", "dry"), curve)
    assert len(pictures) == 3 and all(pictures.values())
    none = media.plots(scores_of([np.nan], "S", "dry"), CURVE[:0])
    assert not any(none.values())
