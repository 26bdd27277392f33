"""MM-IPC: what each variant and task keeps, on integers; the draws."""

import itertools

import pytest
import torch
from mixtures import Mixer, draw
from variants import (
    FILE_COLUMNS,
    TASKS,
    VARIANTS,
    cancelled,
    default_variants,
    num_outputs,
    source_names,
)

from speechbrain.dataio.dataio import write_audio

# Powers of two: every sum tells which components are in it.
LSB = dict(zip(FILE_COLUMNS[1:], (1, 2, 4, 8, 16, 32, 64)))
OUTDOOR = ["s1_wav", "s2_wav", "scene_wav", "event_wav"]

# What must remain, written out by hand from the published table.
KEPT = {
    ("SER", "indoor"): "s1 s2 scene event s1_reverb s2_reverb event_reverb",
    ("SR", "indoor"): "s1 s2 scene s1_reverb s2_reverb",
    ("ER", "indoor"): "s1 s2 event s1_reverb s2_reverb event_reverb",
    ("R", "indoor"): "s1 s2 s1_reverb s2_reverb",
    ("C", "indoor"): "s1 s2",
    ("SE", "outdoor"): "s1 s2 scene event",
    ("S", "outdoor"): "s1 s2 scene",
    ("E", "outdoor"): "s1 s2 event",
    ("C", "outdoor"): "s1 s2",
}
REFERENCES = {"ES": [1], "EB": [1 + 2], "SB": [1, 2]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A mixture of each setting whose samples are sums of powers of two."""
    folder = tmp_path_factory.mktemp("mmipc")
    made = {}
    for setting, columns in (("indoor", list(LSB)), ("outdoor", OUTDOOR)):
        values = {column: LSB[column] for column in columns}
        values["mix_wav"] = sum(values.values())
        paths = []
        for column in FILE_COLUMNS:
            path = folder / f"{setting}_{column}.wav"
            if column in values:
                signal = torch.full((800,), values[column] / 32768)
                write_audio(str(path), signal, 8000)
                paths.append(str(path))
            else:
                paths.append("")
        made[setting] = paths
    return made


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("variant, setting", KEPT)
def test_mixture_is_the_sum_of_what_the_variant_keeps(
    files, task, variant, setting
):
    kept = [f"{name}_wav" for name in KEPT[variant, setting].split()]
    if task == "ES":
        kept = [c for c in kept if not c.startswith("s2")]
    mixer = Mixer(task, VARIANTS, seed=1, sample_rate=8000)
    drawn, mixture, sources = mixer(
        "id", setting, [variant], 0.1, *files[setting]
    )
    assert drawn == variant
    assert mixture.shape == (800,)
    assert torch.all(mixture * 32768 == sum(LSB[c] for c in kept))
    assert sources.shape == (800, len(REFERENCES[task]))
    assert (sources[0] * 32768).tolist() == REFERENCES[task]


def test_only_needed_files_are_read(files):
    """Lazy loading: a path that is not needed may be anything."""
    paths = dict(zip(FILE_COLUMNS, files["indoor"]))
    needed = {"mix_wav", "s1_wav", "s2_wav", "s2_reverb_wav", "scene_wav"}
    lazy = [paths[c] if c in needed else "/nowhere" for c in FILE_COLUMNS]
    mixer = Mixer("ES", VARIANTS, seed=1, sample_rate=8000)
    mixer("id", "indoor", ["ER"], 0.1, *lazy)
    with pytest.raises(Exception, match="nowhere"):
        mixer("id", "indoor", ["SR"], 0.1, *lazy)


def test_component_of_another_length_is_named(files, tmp_path):
    short = tmp_path / "short.wav"
    write_audio(str(short), torch.zeros(799), 8000)
    paths = list(files["outdoor"])
    paths[FILE_COLUMNS.index("event_wav")] = str(short)
    mixer = Mixer("EB", VARIANTS, seed=1, sample_rate=8000)
    with pytest.raises(ValueError, match="mixture abc: .*short.wav"):
        mixer("abc", "outdoor", ["S"], 0.1, *paths)


def test_crop_is_the_same_for_all_files_and_moves_with_the_epoch(tmp_path):
    ramp = torch.arange(800) / 32768
    paths = []
    for column in FILE_COLUMNS:
        path = tmp_path / f"{column}.wav"
        write_audio(str(path), 2 * ramp if column == "mix_wav" else ramp, 8000)
        paths.append(str(path))
    mixer = Mixer("ES", ["SE"], 1, 8000, segment_seconds=0.05)
    starts = set()
    for epoch in range(1, 30):
        mixer.set_epoch(epoch)
        _, mixture, sources = mixer("id", "outdoor", ["SE"], 0.1, *paths)
        assert mixture.shape == (400,) and sources.shape == (400, 1)
        # 2 ramp - s2: what remains is the ramp itself
        assert torch.equal(mixture, sources[:, 0])
        starts.add(round(float(sources[0, 0]) * 32768))
    assert len(starts) > 20
    assert min(starts) >= 0 and max(starts) <= 400


def test_draw_is_stateless_uniform_and_independent():
    draws = [draw(1, 1, f"id{i}", "variant") for i in range(20000)]
    assert draws == [draw(1, 1, f"id{i}", "variant") for i in range(20000)]
    tenths = torch.histc(torch.tensor(draws), 10, 0, 1)
    # 20000 / 10 = 2000 +- 5 standard deviations of 42
    assert tenths.min() > 1785 and tenths.max() < 2215
    for other in ((2, 1, "variant"), (1, 2, "variant"), (1, 1, "crop")):
        seed, epoch, purpose = other
        others = [draw(seed, epoch, f"id{i}", purpose) for i in range(20000)]
        pair = torch.tensor([draws, others])
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.04


def test_every_variant_of_a_mixture_is_drawn():
    mixer = Mixer("ES", default_variants("ES"), seed=7, sample_rate=8000)
    counts = dict.fromkeys(("SER", "SR", "ER", "R"), 0)
    for epoch in range(1, 4001):
        mixer.set_epoch(epoch)
        counts[mixer._variant("abc", list(counts))] += 1
    assert all(850 < count < 1150 for count in counts.values())


def test_curriculum_holds_a_stage_until_the_next():
    stages = [
        {"epoch": 5, "variants": ["SER", "SE"]},
        {"epoch": 2, "variants": ["R", "SR", "S"]},
    ]
    mixer = Mixer("ES", ["E"], 1, 8000, curriculum=stages)
    by_epoch = [mixer._allowed(epoch) for epoch in (1, 2, 4, 5, 99)]
    middle = ["SR", "R", "S"]
    assert by_epoch == [["E"], middle, middle, ["SER", "SE"], ["SER", "SE"]]
    mixer.set_epoch(3)
    drawn = {mixer._variant(f"id{i}", ["SER", "SR", "R"]) for i in range(50)}
    assert drawn == {"SR", "R"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"task": "XX"}, "expected one of ES, EB, SB, found 'XX'"),
        ({"variants": "SER"}, "variants: expected a list out of SER"),
        ({"variants": []}, "variants: expected a list out of SER"),
        ({"variants": ["SER", "sr"]}, "'sr' is none of SER.*is SR meant"),
        ({"curriculum": [3]}, r"curriculum\[0\]: expected {epoch, variants}"),
        (
            {"curriculum": [{"epoch": "one", "variants": ["R"]}]},
            r"curriculum\[0\].epoch: expected 1, 2, ..., found 'one'",
        ),
        (
            {"curriculum": [{"epoch": 2, "variants": ["X"]}]},
            "curriculum, epoch 2: 'X' is none of",
        ),
        (
            {"segment_seconds": 0.001, "min_samples": 16},
            r"0.001 s \(8 samples\) is too short .* expected 0.002 s or more",
        ),
    ],
)
def test_a_mixer_refuses_what_makes_no_sense(options, message):
    arguments = {"task": "ES", "variants": ["SER"], "seed": 1, **options}
    with pytest.raises(ValueError, match=message):
        Mixer(sample_rate=8000, **arguments)


@pytest.mark.parametrize("task, is_warned", [("ES", True), ("SB", False)])
def test_c_is_warned_of_where_it_says_nothing(task, is_warned, caplog):
    Mixer(task, ["SER", "C"], 1, 8000)
    assert ("C is the reference up to rounding" in caplog.text) == is_warned


def test_draw_does_not_depend_on_the_order_of_the_yaml():
    drawn = set()
    for order in itertools.permutations(["SER", "SR", "R"]):
        mixer = Mixer("ES", list(order), 3, 8000)
        mixer.set_epoch(11)
        drawn.add(
            tuple(mixer._variant(f"id{i}", list(order)) for i in range(50))
        )
    assert len(drawn) == 1


def test_tasks():
    assert [num_outputs(task) for task in TASKS] == [1, 1, 2]
    assert source_names("ES") == ["s1"]
    assert (
        default_variants("SB")[-1] == "C" and len(default_variants("SB")) == 8
    )
    assert "C" not in default_variants("EB")
    assert set(cancelled("C", "ES", "indoor")) == set(LSB) - {"s1_wav"}
    with pytest.raises(ValueError, match="'XX'"):
        num_outputs("XX")
