"""The model card of an exported model, from the folder of its run.

Authors
 * The PolSESS recipe team 2026
"""

import json
from functools import partial
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from reporting.runs import TASK_NAMES
from reporting.tables import cells, to_markdown
from runs.record import recorded_starts
from variants import VARIANTS, num_outputs, source_names

from exporting.interface import interface_name

TEMPLATE = Path(__file__).with_name("card.jinja")
SIMULATED = "corpus.json"  # simulate/make_corpus.py leaves it in its corpora


def model_card(model, summary, licence, onnx, onnx_length=None, fp16=False):
    """Writes the card of a model for the Hugging Face hub.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.
    summary : pd.DataFrame
        test_summary.csv; None for an untested model.
    licence : str
        Licence of the weights, as the hub names it.
    onnx : bool
        Whether there is a model.onnx.
    onnx_length : int
        Samples of each mixture that it takes; None for any number.
    fp16 : bool
        Whether the weights are float16.

    Returns
    -------
    huggingface_hub.ModelCard
        Its text has a head in YAML.
    """
    name = f"{model.network.name} on PolSESS, {model.task}"
    n_sources = num_outputs(model.task)
    task_tag = (
        "audio-source-separation" if n_sources > 1 else "speech-enhancement"
    )
    facts = training_facts(model)
    data = ModelCardData(
        language="pl",
        license=licence,
        library_name="speechbrain",
        tags=[
            "speechbrain",
            task_tag,
            "audio-to-audio",
            model.network.name,
            "PolSESS",
        ],
        datasets=["PolSESS"],
        metrics=["si-sdr"],
        pipeline_tag="audio-to-audio",
        model_name=name,
        eval_results=_results(summary, facts),
    )
    table = None
    if summary is not None:
        table = to_markdown(cells(summary, "mean"))
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=name,
        model=model,
        n_sources=n_sources,
        onnx=onnx,
        onnx_length=onnx_length,
        fp16=fp16,
        code=None if model.network.stock else interface_name(model.network),
        files=[f"`{part}.ckpt`" for part in model.network.parts],
        table=table,
        facts=facts,
        licence=licence,
    )


def _results(summary, facts):
    """Macro means of a test as the hub's results; None without a test."""
    if summary is None:
        return None
    variants = [v for v in VARIANTS if v in set(summary["variant"])]
    dataset = f"test split of {facts['Data']}, mean over {', '.join(variants)}"
    means = summary[summary["variant"] == "macro mean"].iloc[0]
    return [
        EvalResult(
            task_type="audio-to-audio",
            task_name=facts["Task"],
            dataset_type="PolSESS",
            dataset_name=dataset,
            metric_type=metric,
            metric_name=metric,
            metric_value=round(float(means[f"{metric}_mean"]), 2),
        )
        for metric in ("si_sdr", "si_sdri")
    ]


def training_facts(model):
    """Collects the facts about a training.

    Arguments
    ---------
    model : trained.Trained
        Model of a run.

    Returns
    -------
    dict
        Name -> text; "unknown" where the run does not tell.
    """
    starts = recorded_starts(model.run)
    start = starts[0] if starts else {}
    settings = {**_recorded_settings(model), **model.settings, **start}

    def text(key):
        """A setting in words."""
        return str(settings.get(key, "unknown"))

    parameters = sum(p.numel() for p in model.separator.parameters())
    sizes = {k: v for part in model.sizes.values() for k, v in part.items()}
    for constant in ("in_channels", "out_channels", "bias"):
        sizes.pop(constant, None)
    for key, block in list(sizes.items()):
        if isinstance(block, partial):  # a factory of blocks
            words = (f"{k} {v}" for k, v in block.keywords.items())
            sizes[key] = f"{block.func.__name__} ({', '.join(words)})"
    facts = {
        "Data": _data(model, start),
        "Training mixtures": _count_mixtures(model),
        "Task": TASK_NAMES[model.task],
        "Sources": ", ".join(source_names(model.task)),
        "Variants": ", ".join(settings.get("variants") or ["unknown"]),
        "Network": ", ".join(f"{k} {v}" for k, v in sizes.items()),
        "Parameters": f"{parameters:,}",
        "Precision": text("precision"),
        "Segment": f"{text('segment_seconds')} s",
        "Batch": f"{text('batch_size')} mixtures, "
        f"{text('grad_accumulation_factor')} batches a step, "
        f"{settings.get('processes', 1)} process(es)",
        "Learning rate": text("lr"),
        "Seed": text("seed"),
    }
    if start:
        packages = start["packages"]
        versions = [f"{n} {packages[n]}" for n in ("torch", "speechbrain")]
        facts["Command"] = f"`{start['command']}`"
        facts["Commit"] = start["commit"]
        facts["Device"] = start["device"]
        facts["Versions"] = ", ".join(versions)
    return facts


def _recorded_settings(model):
    """Settings that runs of earlier versions recorded, run options included."""
    path = model.checkpoint.parent / "settings.json"
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))


def _data(model, start):
    """Names the corpus; one of ``make_corpus.py`` is called so."""
    folders = model.settings.get("data_folder") or []
    folders = folders if isinstance(folders, list) else [folders]
    texts = []
    for folder in folders:
        path = Path(start.get("folder", "")) / Path(folder).expanduser()
        if (path / SIMULATED).is_file():
            made = json.loads((path / SIMULATED).read_text(encoding="utf-8"))
            is_built_in = made.get("sources", "built-in") == "built-in"
            kind = (
                "simulated speech and sounds" if is_built_in else "recordings"
            )
            texts.append(
                f"a corpus in the layout of PolSESS with {kind}, not the "
                "released one"
            )
        elif path.is_dir():
            texts.append(f"PolSESS ({path.name})")
        else:
            texts.append(f"the corpus {path.name}, missing at export")
    return " and ".join(texts) or "unknown"


def _count_mixtures(model):
    """Counts the training mixtures in the manifests of a run."""
    mixtures = set()
    for path in model.checkpoint.parent.glob("train_*.csv"):
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        mixtures.update(row.partition(",")[0] for row in rows)
    limit = model.settings.get("n_train") or len(mixtures)
    return f"{min(limit, len(mixtures)):,}" if mixtures else "unknown"
