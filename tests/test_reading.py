"""The quick way to read a file, and the way of libsndfile, give the same.

Authors
 * The PolSESS recipe team 2026
"""

import warnings

import numpy as np
import pytest
from reliability import random_state as randomness
import mixtures as reading
import soundfile
import torch
from mixtures import Mixer
from reliability.random_state import SeededDataset
from recipe import hparams_of

from speechbrain.dataio.dataloader import make_dataloader

EXTREMES = [-32768, 32767, -1, 0, 1]
KINDS = {
    "plain": ("WAV", "PCM_16"),
    "extensible": ("WAVEX", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "24 bit": ("WAV", "PCM_24"),
    "float": ("WAV", "FLOAT"),
    "8 bit": ("WAV", "PCM_U8"),
}


def written(path, kind):
    """A file of 1000 samples, the greatest and smallest among them."""
    samples = np.random.default_rng(1).integers(-32768, 32768, 1000)
    samples[:5] = EXTREMES
    form, subtype = KINDS[kind]
    samples = samples.astype(np.int16)
    soundfile.write(path, samples, 8000, format=form, subtype=subtype)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start, stop", [(0, 1000), (3, 500), (999, 1000)])
def test_samples_are_those_of_libsndfile(tmp_path, kind, start, stop):
    path = written(tmp_path / "file.wav", kind)
    signal = reading.read_signal("abc", path, 8000, 1000, start, stop)
    expected, _ = soundfile.read(path, dtype="float32")
    assert signal.dtype == torch.float32
    assert torch.equal(signal, torch.from_numpy(expected[start:stop]))


def test_only_the_plainest_files_are_read_the_quick_way(tmp_path, monkeypatch):
    paths = {kind: written(tmp_path / kind, kind) for kind in KINDS}
    with open(paths["plain"], "rb") as file:
        content = file.read()
    # A chunk of notes, in front of the samples and behind them.
    notes = b"LIST\x04\x00\x00\x00INFO"
    for name, at in (("before", 36), ("behind", len(content))):
        paths[name] = tmp_path / name
        paths[name].write_bytes(content[:at] + notes + content[at:])
    expected = reading.read_signal("abc", paths["plain"], 8000, 1000, 0, 1000)
    for name in ("before", "behind"):
        signal = reading.read_signal("abc", paths[name], 8000, 1000, 0, 1000)
        assert torch.equal(signal, expected)
    opened, open_file = [], soundfile.SoundFile

    def note(path, *options):
        """Opens a file as before."""
        opened.append(path)
        return open_file(path, *options)

    monkeypatch.setattr(soundfile, "SoundFile", note)
    for path in paths.values():
        reading.read_signal("abc", path, 8000, 1000, 0, 1000)
    assert opened == [path for name, path in paths.items() if name != "plain"]


@pytest.mark.parametrize("cut", [1, 2, 43, 900, 2000])
def test_a_cut_file_is_found_though_the_part_is_whole(tmp_path, cut):
    path = tmp_path / "file.wav"
    written(path, "plain")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="expected 1000 samples at 8000 Hz"):
        reading.read_signal("abc", str(path), 8000, 1000, 0, 10)


def dataset_of(mixer):
    """One item, which the mixer makes."""
    dataset = SeededDataset({"a": {}}, mixer)
    dataset.add_dynamic_item(mixer, ["id"], ["mixed"])
    dataset.set_output_keys(["mixed"])
    return dataset


def test_without_augmentation_nothing_is_seeded(monkeypatch):
    class Derived(Mixer):
        """One that a user made, which may draw."""

    seeds, seeded = [], randomness.seeded
    monkeypatch.setattr(Mixer, "__call__", lambda *_: 1)
    monkeypatch.setattr(
        randomness, "seeded", lambda seed: seeds.append(seed) or seeded(seed)
    )
    dataset = dataset_of(Mixer("ES", ["SER"], 1, 8000))
    assert dataset[0] == {"mixed": 1} and not seeds
    dataset.add_dynamic_item(lambda mixed: mixed, "mixed", "augmented")
    assert dataset[0] == {"mixed": 1} and len(seeds) == 1
    derived = dataset_of(Derived("ES", ["SER"], 1, 8000))
    assert derived[0] == {"mixed": 1} and len(seeds) == 2


@pytest.mark.parametrize(
    "kwargs", ["train_loader_kwargs", "eval_loader_kwargs"]
)
@pytest.mark.parametrize(
    "overrides, prefetch",
    [
        ({"num_workers": 0}, None),
        ({"num_workers": 1}, 2),
        ({"num_workers": 1, "prefetch_factor": 5}, 5),
        ({"num_workers": 0, "pin_memory": False}, None),
    ],
)
def test_options_of_data_loaders_suit_one_another(kwargs, overrides, prefetch):
    hparams = hparams_of(**overrides)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = [{"id": str(number)} for number in range(3)]
        loader = make_dataloader(items, **hparams[kwargs])
        assert len(list(loader)) == len(loader) > 0
    assert loader.prefetch_factor == prefetch
    is_pinned = torch.cuda.is_available() and hparams["pin_memory"]
    assert loader.pin_memory == is_pinned
