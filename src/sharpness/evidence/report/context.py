"""What the report's templates may quote: read from the files that the study has left, nothing of it computed anew."""

import math
from contextlib import suppress
from pathlib import Path

import pandas as pd

from sharpness import paths, records, registry
from sharpness.datasets import known_shape
from sharpness.errors import UserError
from sharpness.evidence import titles
from sharpness.evidence.formatting import counted
from sharpness.evidence.report.page_one import by_scale, sam_against_sgd
from sharpness.evidence.runs import read_problem
from sharpness.evidence.theory import LAWS
from sharpness.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from sharpness.jobs import DIVERGED
from sharpness.scales import read_scale, scale_names
from sharpness.study import Study

# The scale that trains as the original's authors did.
ORIGINAL = "paper"
# A schedule with three drops, at 30, 60 and 80 % of the epochs, needs about this many to show anything of a method.
FEWEST_EPOCHS = 10


def read_context(study: Study) -> dict:
    """Everything that is not a matter of one section; a number that does not exist is None.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    runs, judged = _read_csv(paths.runs(study.scale)), _read_csv(paths.claims(study.scale))
    found = claims(study, judged)
    classes = _classes(study)
    return {
        "study": study,
        "scale": study.scale,
        "settings": study.settings,
        "training": study.training,
        "steps": LAWS,
        "networks": {name: _network(name, size) for name, size in _sizes(study).items()},
        "data_citation": registry.constants("datasets", study.settings["dataset"]["name"])["CITATION"],
        "deviations": deviations(study),
        "badge": badge(study),
        "images": images(study),
        "radii": {name: _radii(study, name) for name in study.methods},
        "classes": classes,
        "uniform_loss": uniform_loss(study.training["label_smoothing"], classes) if classes else None,
        "runs": {"n": len(runs), "diverged": int((runs["status"] == DIVERGED).sum())},
        "artifacts": {name: _read_record(artifact.record(study.scale)) for name, artifact in study.artifacts.items()},
        "problems": {name: _problem(study, name) for name in study.problems},
        "claims": found,
        "sam_against_sgd": sam_against_sgd(study, found["rows"]),
        "by_scale": by_scale(study, judged),
    }


def badge(study: Study) -> dict:
    """What a reader must know of the scale before anything else: scale, text, and warning or note as its tone."""
    scale, epochs = study.settings["title"], study.settings["epochs"]
    trained = f"{scale[0].upper()}{scale[1:]}: {study.settings['dataset']['title']}, {counted(epochs, 'epoch')}."
    if epochs < FEWEST_EPOCHS:
        text, tone = f"{trained} This shows that the pipeline works; it says nothing about the methods.", "warning"
    elif study.scale != ORIGINAL:
        text, tone = f"{trained} What is found here holds for this scale alone.", "note"
    else:
        text, tone = f"{trained} This is the original's training as its code runs it.", "note"
    return {"scale": scale, "text": text, "tone": tone, "warning": tone == "warning"}


def deviations(study: Study) -> list[dict]:
    """What differs between this scale and the original: what, here, original."""
    if study.scale == ORIGINAL or ORIGINAL not in scale_names():
        return []
    here, original = _described(study.settings), _described(read_scale(ORIGINAL, Path()))
    return [
        {"what": what, "here": here[what], "original": original.get(what)}
        for what in here
        if here[what] != original.get(what)
    ]


def images(study: Study) -> dict | None:
    """How many training images a run sees, here and in the original: images, epochs, seen; None if unknown."""
    if ORIGINAL not in scale_names():
        return None
    sizes = {}
    for name, settings in (("here", study.settings), ("original", read_scale(ORIGINAL, Path()))):
        dataset, epochs = settings["dataset"], settings["epochs"]
        shape = known_shape(dataset)
        count = shape.train_images if shape else dataset.get("training_images")
        if count is None:
            return None
        sizes[name] = {"images": count, "epochs": epochs, "seen": count * epochs}
    return sizes


def uniform_loss(smoothing: float, classes: int) -> float:
    """The loss KL(target ‖ uniform), in nats, of a predictor that knows nothing."""
    others = smoothing / (classes - 1)
    entropy = -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(others) if smoothing else 0.0
    return math.log(classes) - entropy


def claims(study: Study, judged: pd.DataFrame) -> dict:
    """The findings, each with its parts, those of Part II apart; the criteria, which the parts name by number; how many
    have each verdict.

    Raises:
        UserError: a finding has not been judged.
    """
    by_name = {row["claim"]: row for row in judged.astype(object).where(judged.notna(), None).to_dict("records")}
    for name in [entry.name for claim in study.claims for entry in (claim, *claim.parts)]:
        if name not in by_name:
            raise UserError(f"{paths.claims(study.scale)}: no row for {name}; make it again: snakemake --cores all")
    rows = [
        {**by_name[claim.name], "parts": [dict(by_name[part.name]) for part in claim.parts]} for claim in study.claims
    ]
    parts = [part for row in rows for part in row["parts"]]
    criteria = list(dict.fromkeys(part["criterion"] for part in parts))
    for part in parts:
        part["criterion"] = criteria.index(part["criterion"]) + 1
        part |= {key: None if part[key] is None else int(part[key]) for key in ("n", "needed")}
    predictions = {claim.name for claim in study.claims if claim.section in study.theory}
    theory = [row for row in rows if row["claim"] in predictions]
    rows = [row for row in rows if row["claim"] not in predictions]
    return {
        "rows": rows,
        "theory": theory,
        "criteria": criteria,
        "counts": _counts(rows),
        "theory_counts": _counts(theory),
    }


def _counts(rows: list[dict]) -> dict[str, int]:
    """How many have each verdict, of those that any has."""
    verdicts = [row["verdict"] for row in rows]
    counts = {verdict: verdicts.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)}
    return {verdict: count for verdict, count in counts.items() if count}


def _classes(study: Study) -> int | None:
    """How many classes the data have, by the first run that says it."""
    for job in study.runs.values():
        with suppress(UserError):
            return job.read().get("classes")
    return None


def _problem(study: Study, name: str) -> dict:
    """A toy problem: its settings, and what its kind sums up of its data."""
    job = study.problems[name]
    summary = getattr(registry.load("problems", job.kind, name), "summary", None)
    return {"settings": job.spec, "summary": summary(read_problem(job)) if summary else {}}


def _sizes(study: Study) -> dict[str, dict]:
    """The sizes of each network that the scale names or an experiment trains."""
    return {job.spec["network"]: {} for job in study.runs.values()} | study.settings["networks"]


def _network(name: str, size: dict) -> dict:
    spec = {"network": name, **{f"network_{key}": value for key, value in size.items()}}
    return {"title": titles.sized_network(spec), "citation": registry.constants("networks", name)["CITATION"]}


def _described(settings: dict) -> dict[str, str]:
    """A scale's settings in words."""
    dataset = settings["dataset"]
    flip = "flip" if dataset["flip"] else "no flip"
    return {
        "data set": dataset["title"],
        "augmentation": f"crop padding {dataset['crop_padding']}, {flip}, Cutout {dataset['cutout']}",
        "epochs": f"{settings['epochs']}",
        "batch size": f"{settings['batch_size']}",
        "precision": settings["precision"],
        "seeds": ", ".join(map(str, settings["seeds"])),
        **{titles.network(name): _network(name, size)["title"] for name, size in settings["networks"].items()},
    }


def _radii(study: Study, method: str) -> list[float]:
    specs = [job.spec for job in study.runs.values()]
    return sorted({spec["rho"] for spec in specs if spec["method"] == method and "rho" in spec})


def _read_csv(path: Path) -> pd.DataFrame:
    """One of the study's own tables: a missing number is an empty cell, and text is text, "NA" too."""
    _require(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _read_record(path: Path) -> dict:
    _require(path)
    try:
        return records.parse(path.read_bytes(), records.ARTIFACT)
    except ValueError as reason:
        raise UserError(f"{path}: {reason}; delete it and make it again: snakemake --cores all") from None


def _require(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it first: snakemake --cores all")
