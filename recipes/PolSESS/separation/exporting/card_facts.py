"""What the model card of an export tells about the training.

Authors
 * The PolSESS recipe team 2026
"""

import json
from pathlib import Path

from reliability.facts import TASK_NAMES
from variants import source_names
from reliability.record import RECORD, recorded_starts

SIMULATED = "corpus.json"  # which simulate/make_corpus.py leaves in its corpora


def run_folder(model):
    """The output folder of the run of a model.

    Arguments
    ---------
    model : trained.Trained
        Of that run.

    Returns
    -------
    Path
        The folder.
    """
    folder = model.hyperparams.parent
    return folder.parent if folder.name == RECORD else folder


def settings_of(model):
    """The settings with which a run was trained, beyond its YAML.

    Arguments
    ---------
    model : trained.Trained
        Of that run.

    Returns
    -------
    dict
        With the keys of the YAML, run options as they took effect.
    """
    path = model.checkpoint.parent / "settings.json"
    if not path.is_file():
        return model.settings
    return {**model.settings, **json.loads(path.read_text(encoding="utf-8"))}


def trained_variants(model):
    """The variants on which a model was trained, as text.

    Arguments
    ---------
    model : trained.Trained
        Of that run.

    Returns
    -------
    str
        For a sentence.
    """
    variants = settings_of(model).get("variants")
    return f"the variants {', '.join(variants)}" if variants else "variants"


def data_text(run, model):
    """On which corpus a model was trained: a simulated one is called so.

    Arguments
    ---------
    run : Path
        Its output folder.
    model : trained.Trained
        Of that run.

    Returns
    -------
    str
        For a table and a list.
    """
    folders = model.settings.get("data_folder")
    folders = folders if isinstance(folders, list) else [folders]
    starts = recorded_starts(run)
    base = Path(starts[0]["folder"] if starts else "")
    texts = []
    for folder in filter(None, folders):
        path = base / Path(folder).expanduser()
        if (path / SIMULATED).is_file():
            texts.append(
                "a corpus in the layout of PolSESS with simulated speech and "
                "sounds, not the released one"
            )
        elif path.is_dir():
            texts.append(f"PolSESS ({path.name})")
        else:
            texts.append(
                f"the corpus {path.name}, which was not at hand when this card "
                "was written"
            )
    return " and ".join(texts) or "unknown"


def count_mixtures(model):
    """How many mixtures a model was trained on.

    Arguments
    ---------
    model : trained.Trained
        Beside whose checkpoint are the manifests.

    Returns
    -------
    str
        A number, or unknown.
    """
    manifests = model.checkpoint.parent.glob("train_*.csv")
    mixtures = set()
    for path in manifests:
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        mixtures.update(row.partition(",")[0] for row in rows)
    limit = settings_of(model).get("n_train") or len(mixtures)
    return f"{min(limit, len(mixtures)):,}" if mixtures else "unknown"


def facts_of(run, model):
    """What the card tells about the training.

    Arguments
    ---------
    run : Path
        Its output folder.
    model : trained.Trained
        Of that run.

    Returns
    -------
    dict
        Name -> text.
    """
    settings = settings_of(model)
    parameters = sum(p.numel() for p in model.separator.parameters())
    letters = {
        k: v
        for part in model.sizes.values()
        for k, v in part.items()
        if k not in ("implementation", "out_channels", "in_channels", "bias")
    }
    facts = {
        "Data": data_text(run, model),
        "Training mixtures": count_mixtures(model),
        "Task": TASK_NAMES[model.task],
        "Sources": ", ".join(source_names(model.task)),
        "Variants": ", ".join(settings.get("variants") or ["unknown"]),
        "Network": ", ".join(f"{k} {v}" for k, v in letters.items()),
        "Parameters": f"{parameters:,}",
        "Precision": settings.get("precision", "unknown"),
        "Segment": f"{settings.get('segment_seconds')} s",
        "Batch": f"{settings.get('batch_size')} mixtures, "
        f"{settings.get('grad_accumulation_factor')} batches a step, "
        f"{settings.get('processes', 1)} process(es)",
        "Learning rate": f"{settings.get('lr')}",
        "Seed": f"{settings.get('seed')}",
    }
    starts = recorded_starts(run)
    if starts:
        start = starts[0]
        packages = start["packages"]
        versions = [f"{n} {packages[n]}" for n in ("torch", "speechbrain")]
        facts["Command"] = f"`{start['command']}`"
        facts["Commit"] = start["commit"]
        facts["Device"] = start["device"]
        facts["Versions"] = ", ".join(versions)
    return facts
