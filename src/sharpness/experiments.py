"""The experiments of config/study.yaml at a scale, as training runs: networks × methods × radii × seeds."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpness import registry, training
from sharpness.design import ascent_of
from sharpness.errors import UserError, settings_of
from sharpness.fit import check_fit
from sharpness.jobs import TRAINING, Job
from sharpness.references import STUDY, lookup
from sharpness.scales import read_scale, scale_file
from sharpness.training.limits import check_smoothing

if TYPE_CHECKING:
    from sharpness.study import Study

WHOLE = ("every", "after")  # of `when`, numbers of steps


def expand_experiments(scale: str, design: dict, root: Path) -> dict[str, list[Job]]:
    """The runs of each experiment, by its name, in the study's order; experiments may share runs.

    Experiments that the scale leaves out are among them.

    A run that a scale has in common with the scale that it extends belongs to that one: it is trained once for both.

    Args:
        scale: the scale's name.
        design: config/study.yaml.
        root: the project's root.

    Raises:
        UserError: a scale's file is faulty, an experiment names something that does not exist, or has a radius too many
            or too few.
    """
    settings = read_scale(scale, root)
    shared = {}
    if below := settings.get("extends"):
        not_there = left_out(below, design, read_scale(below, root))
        experiments = expand_experiments(below, design, root).items()
        shared = {job.id: job for name, jobs in experiments if name not in not_there for job in jobs}
    own_seeds = settings.get("experiment_seeds", {})
    for name in own_seeds:
        lookup("experiment", name, design["experiments"], f"{scale_file(scale)}: experiment_seeds")
    _check_smoothing(design, settings)
    experiments = {}
    for name, experiment in design["experiments"].items():
        specs = _expand(name, experiment, own_seeds.get(name, settings["seeds"]), design, settings)
        jobs = [Job(TRAINING, spec, training.SEMANTICS, _slug(spec), scale) for spec in specs]
        experiments[name] = [shared.get(job.id, job) for job in jobs]
    trained = dict.fromkeys(
        network for experiment in design["experiments"].values() for network in experiment["networks"]
    )
    check_fit(settings, trained, scale_file(scale))
    return experiments


def _check_smoothing(design: dict, settings: dict) -> None:
    from sharpness.datasets import known_shape  # as in read_scale

    if shape := known_shape(settings["dataset"]):
        with settings_of(f"{STUDY}: training.label_smoothing"):
            check_smoothing(design["training"]["label_smoothing"], shape.classes)


def left_out(scale: str, design: dict, settings: dict) -> set[str]:
    """The experiments that are optional and that the scale, by its settings, does not ask for.

    Raises:
        UserError: the scale asks for one that is not optional.
    """
    optional = {name: experiment for name, experiment in design["experiments"].items() if experiment.get("optional")}
    asked = settings.get("experiments", [])
    for name in asked:
        lookup("optional experiment", name, optional, f"{scale_file(scale)}: experiments")
    return optional.keys() - asked


def without_experiments(study: "Study", names: set[str]) -> "Study":
    """The study without some experiments, and without the methods, artifacts and sections that only they use."""
    experiments = {name: jobs for name, jobs in study.experiments.items() if name not in names}
    methods, kept_methods = (
        {job.spec["method"] for jobs in each.values() for job in jobs} for each in (study.experiments, experiments)
    )
    artifacts = {
        name: artifact
        for name, artifact in study.artifacts.items()
        if getattr(artifact, "experiment", None) not in names
    }
    sections, kept_sections = (
        {artifact.section for artifact in each.values()} for each in (study.artifacts, artifacts)
    )
    without = sections - kept_sections
    return replace(
        study,
        methods={name: method for name, method in study.methods.items() if name not in methods - kept_methods},
        experiments=experiments,
        artifacts=artifacts,
        sections={name: problems for name, problems in study.sections.items() if name not in without or problems},
        claims=[claim for claim in study.claims if claim.section not in without],
    )


def _expand(name: str, experiment: dict, seeds: list[int], design: dict, settings: dict) -> list[dict]:
    """The specs of one experiment."""
    where = f"{STUDY}: experiments.{name}"
    specs, given = [], set()
    for network in experiment["networks"]:
        registry.check_constants("networks", network, where, "TITLE", "CITATION")
        for entry in experiment["runs"]:
            method = lookup("method", entry["method"], design["methods"], where)
            if (method["optimizer"] == "sam") != ("rho" in entry):
                remedy = "give it a list of radii, rho" if method["optimizer"] == "sam" else "remove its rho"
                raise UserError(f"{where}: method {entry['method']}: {remedy}")
            for rho in entry.get("rho", [0.0]):
                if (network, entry["method"], rho) in given:
                    radius = f" at rho {rho:g}" if "rho" in entry else ""
                    raise UserError(f"{where}: method {entry['method']}{radius} is listed twice; list it once")
                given.add((network, entry["method"], rho))
                specs += [_spec(network, entry["method"], method, rho, seed, design, settings) for seed in seeds]
    return specs


def _spec(network: str, name: str, method: dict, rho: float, seed: int, design: dict, settings: dict) -> dict:
    recipe = design["training"]
    when = {"scale": 1.0, **method["when"]} if "every" in method.get("when", {}) else method.get("when", {})
    return {
        **_data(settings["dataset"]),
        "network": network,
        **{f"network_{key}": value for key, value in settings["networks"].get(network, {}).items()},
        "method": name,
        "optimizer": method["optimizer"],
        **({"rho": float(rho), **ascent_of(method)} if method["optimizer"] == "sam" else {}),
        **{f"when_{key}": value if key in WHOLE else float(value) for key, value in when.items()},
        "learning_rate": float(recipe["learning_rate"]),
        "milestones": [float(fraction) for fraction in recipe["milestones"]],
        "learning_rate_factor": float(recipe["learning_rate_factor"]),
        "momentum": float(recipe["momentum"]),
        "weight_decay": float(recipe["weight_decay"]),
        "label_smoothing": float(recipe["label_smoothing"]),
        "epochs": settings["epochs"] * method.get("epochs_factor", 1),
        "batch_size": settings["batch_size"],
        "precision": settings["precision"],
        "seed": seed,
    }


def _slug(spec: dict) -> str:
    rho = f"-rho{spec['rho']:g}" if spec["optimizer"] == "sam" else ""
    return f"{spec['network']}-{spec['method']}{rho}-seed{spec['seed']}"


def _data(dataset: dict) -> dict:
    """What of a scale's data set decides a run. A folder of images has no name but its title, wherever it is."""
    from sharpness.datasets import COMMON_SETTINGS  # as in read_scale

    title = {"dataset_title": dataset["title"]} if "folder" in dataset else {}
    own = {f"dataset_{key}": value for key, value in dataset.items() if key not in (*COMMON_SETTINGS, "folder")}
    kept = ("training_images", "image_size", "crop_padding", "flip", "cutout")
    return {"dataset": dataset["name"], **title, **own, **{key: dataset[key] for key in kept if key in dataset}}
