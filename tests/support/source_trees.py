"""Made-up trees in the layouts of public corpora, with tiny recordings."""

import csv
import zlib

import numpy as np
import soundfile

RATE = 8000


def noise(path, seconds, rate=RATE, level=0.1, channels=1):
    """Writes noise that is unlike that of any other path; returns it."""
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-5:]).encode()))
    signal = level * rng.standard_normal((round(seconds * rate), channels))
    signal = signal.clip(-0.99, 0.99)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate)
    return signal


def write_rows(path, rows, delimiter=","):
    """Writes a table of a corpus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as table:
        csv.writer(table, delimiter=delimiter).writerows(rows)


def make_mls(folder, seconds=1.2):
    """Two speakers a subset; returns path -> labels, subsets."""
    expected = {}
    names = {"train": "train", "dev": "val", "test": "test"}
    for number, (name, subset) in enumerate(names.items()):
        for speaker in (f"{number}1", f"{number}2"):
            for utterance in (1, 2):
                file = f"{speaker}_7_{utterance:06}.flac"
                path = folder / name / "audio" / speaker / "7" / file
                noise(path, seconds)
                expected[path] = (speaker,), (subset,)
    return expected


def make_commonvoice(folder, seconds=1.2):
    """mp3 files, of which one is in no table; a quote in a sentence."""
    expected = {}
    names = {"train": "train", "dev": "val", "test": "test"}
    for number, (name, subset) in enumerate(names.items()):
        rows = [["client_id", "path", "sentence", "up_votes"]]
        for speaker in "ab":
            client = f"{speaker}{number}" * 64
            file = f"common_voice_pl_{number}{speaker}.mp3"
            rows.append([client, file, "Tak, „tak”, odparł", "2"])
            noise(folder / "clips" / file, seconds)
            expected[folder / "clips" / file] = (client[:16],), (subset,)
        write_rows(folder / f"{name}.tsv", rows, "\t")
    with open(folder / "dev.tsv", "a", encoding="utf-8") as table:
        table.write('a1\tcommon_voice_pl_gone.mp3\t"Nie\t1\n')
    expected[folder / "clips/common_voice_pl_gone.mp3"] = "file missing"
    noise(folder / "clips/common_voice_pl_9.mp3", seconds)
    reason = "not in train.tsv, dev.tsv or test.tsv"
    expected[folder / "clips/common_voice_pl_9.mp3"] = reason
    return expected


def make_emu(folder, seconds=1.2):
    """Sessions as the EMU database has them."""
    expected = {}
    for session in range(1, 8):
        name = f"SES{session:04}"
        path = folder / f"{name}_ses/sent001_bndl/sent001.wav"
        noise(path, seconds)
        expected[path] = (name,), ()
    return expected


def make_kaldi(folder, seconds=1.2):
    """Sessions as the Kaldi recipe has them."""
    expected = {}
    for session in (1, 2):
        path = folder / f"audio/SES{session:04}/sent002.wav"
        noise(path, seconds)
        expected[path] = (f"SES{session:04}",), ()
    return expected


def make_bigos(folder, seconds=1.2):
    """Two configurations; one name that is no BIGOS name."""
    expected = {}
    names = {"train": "train", "validation": "val", "test": "test"}
    for config in ("fair-mls-20", "pwr-viu-unk"):
        for name, subset in names.items():
            file = f"{config}-{name}-0003-00283.wav"
            path = folder / "data" / config / "audio" / name / file
            noise(path, seconds)
            expected[path] = (f"{config}-0003",), (subset,)
        write_rows(folder / f"data/{config}/test.tsv", [["audioname"]], "\t")
    noise(folder / "data/extra.wav", seconds)
    expected[folder / "data/extra.wav"] = (), ()
    return expected


def make_nemo(folder, seconds=1.2, speakers=9, utterances=3):
    """Actors AA0, AB0 ... with utterances of one emotion."""
    expected = {}
    for speaker in range(speakers):
        name = f"A{chr(65 + speaker)}0"
        for number in range(utterances):
            path = folder / "samples" / f"{name}_anger_{number}.wav"
            noise(path, seconds)
            expected[path] = (name,), ()
    return expected


def make_tau(folder, seconds=1.2):
    """Ten places of two scenes; fold 1 has four of them in its test list."""
    expected, rows, folds = {}, [], {"train": [], "test": []}
    package = folder / "TAU-urban-acoustic-scenes-2019-development"
    for scene in ("airport", "street_traffic"):
        for place in range(5):
            name = f"audio/{scene}-lyon-{place}-{place}0-a.wav"
            identifier = f"{scene}-lyon-{place}"
            rows.append([name, scene, identifier, "a"])
            noise(package / name, seconds, channels=2)
            fold = "train" if place < 3 else "test"
            folds[fold].append([name, scene])
            subsets = ("train",) if place < 3 else ("val", "test")
            expected[package / name] = (scene,), subsets
    header = ["filename", "scene_label", "identifier", "source_label"]
    write_rows(package / "meta.csv", [header, *rows], "\t")
    for fold, listed in folds.items():
        table = package / f"evaluation_setup/fold1_{fold}.csv"
        write_rows(table, [header[:2], *listed], "\t")
    noise(package / "audio/other.wav", seconds)
    expected[package / "audio/other.wav"] = "not in meta.csv"
    return expected


def make_tut(folder, seconds=1.2):
    """Development and evaluation packages, without headers."""
    expected = {}
    for package, subsets in (
        ("TUT-acoustic-scenes-2017-development", ("train", "val")),
        ("TUT-acoustic-scenes-2017-evaluation", ("test",)),
    ):
        rows = []
        for place in ("b020", "b021", "b022", "b023"):
            if package.endswith("evaluation"):
                name, cells = f"audio/{place[1:]}.wav", []
            else:
                name, cells = f"audio/{place}_90_100.wav", [place]
            rows.append([name, "cafe/restaurant", *cells])
            noise(folder / package / name, seconds)
            expected[folder / package / name] = ("cafe/restaurant",), subsets
        write_rows(folder / package / "meta.txt", rows, "\t")
    return expected


def make_wham(folder, seconds=1.2):
    """wham_noise.zip as it unpacks."""
    expected, top = {}, folder / "wham_noise"
    names = {"tr": "train", "cv": "val", "tt": "test"}
    columns = "utterance_id,Noise Band,File ID,L to R Width (cm),"
    columns += "Reverberation Level,Location ID,Location Day ID"
    for number, (name, subset) in enumerate(names.items()):
        rows = [columns.split(",")]
        for level in "hml":
            file = f"01{level}c0201_0.5_40{number}c0202_-0.5.wav"
            place = f"{number}{level}"
            rows.append([file, "1", "7", "17", level, place, place])
            noise(top / name / file, seconds, channels=2)
            expected[top / name / file] = (level,), (subset,)
        write_rows(top / f"metadata/noise_meta_{name}.csv", rows)
    return expected


def make_demand(folder, seconds=15.0):
    """Three channels of two environments."""
    expected = {}
    for place in ("DKITCHEN", "STRAFFIC"):
        for channel in (1, 2, 3):
            path = folder / place / f"ch{channel:02}.wav"
            noise(path, seconds)
            expected[path] = (place,), ()
            if channel > 1:
                expected[path] = "another channel of a recording"
    return expected


def make_esc50(folder, seconds=1.2):
    """Each fold has two takes of one recording of three classes."""
    header = "filename,fold,target,category,esc10,src_file,take".split(",")
    expected, rows = {}, [header]
    for fold in range(1, 6):
        subset = "train" if fold < 4 else {4: "val", 5: "test"}[fold]
        for target, name in enumerate(("dog", "car_horn", "sneezing")):
            for take in "AB":
                source = f"{fold}{target}0"
                file = f"{fold}-{source}-{take}-{target}.wav"
                values = [file, fold, target, name, "True", source, take]
                rows.append(values)
                noise(folder / "audio" / file, seconds)
                expected[folder / "audio" / file] = (name,), (subset,)
    write_rows(folder / "meta/esc50.csv", rows)
    return expected


def make_fsd50k(folder, seconds=1.2):
    """Labels with their ancestors; a split for dev, none for eval."""
    expected = {}
    rows = {"dev": [["fname", "labels", "mids", "split"]]}
    rows["eval"] = [["fname", "labels", "mids"]]
    for number in range(9):
        name = "eval" if number > 5 else "dev"
        subset = ["test"] if number > 5 else [("train", "val")[number % 2]]
        labels = ("Siren,Alarm", "Speech,Human_voice", "Music")[number // 2 % 3]
        path = folder / f"FSD50K.{name}_audio" / f"{number}.wav"
        noise(path, seconds)
        cells = [] if name == "eval" else subset
        rows[name].append([number, labels, "/m/1,/m/2", *cells])
        expected[path] = tuple(labels.split(",")), tuple(subset)
    for name, listed in rows.items():
        write_rows(folder / f"FSD50K.ground_truth/{name}.csv", listed)
    return expected


def make_events(folder, seconds=1.2):
    """Own events in folders of their classes, six of each."""
    for name in ("Keys_jangling", "dog-bark", "Rainfall"):
        for number in range(6):
            noise(folder / name / f"take {number}.ogg", seconds, rate=16000)


def make_scenes(folder, seconds=3.0):
    """Own scenes, six of each, flat: the name is the class."""
    for name in ("Cafe", "public square"):
        for number in range(6):
            noise(folder / f"{name} {number}.wav", seconds, rate=16000)
