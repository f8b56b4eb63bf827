"""From config/ to run specs: what the study trains at a scale, and what each artifact shows.

A run is its spec, one flat JSON object. Its run_id is a readable slug with a short hash of the canonical JSON and of
the version of the training semantics, so a changed setting is a new path and equal runs are one run, whichever
artifacts ask for them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from sharpness.config import check, read_config
from sharpness.errors import UserError, unknown

# Raise this when a change to the ascent step, the networks, the data or the loop changes what the same spec computes.
TRAINING_SEMANTICS = 1

# The same for matrix sensing.
SENSING_SEMANTICS = 1

# The same for the single neuron.
NEURON_SEMANTICS = 1

CONFIG_SCHEMA = Path("workflow/schemas/config.schema.yaml")
ASCENT_KEYS = ("p", "geometry", "eta", "normalization")


@dataclass(frozen=True)
class Artifact:
    """A table or figure of the report: the runs that it rests on and what of them it shows.

    Attributes:
        name: "table1" ... "figure5".
        run_ids: the training runs that it rests on, in the study's order.
        settings: its entry in config/study.yaml; its seed is the scale's first one where the scale lacks that.
    """

    name: str
    run_ids: tuple[str, ...]
    settings: dict

    @property
    def needs_sensing(self) -> bool:
        return "sensing" in self.settings


@dataclass(frozen=True)
class Study:
    """The study at one scale.

    Attributes:
        scale: name of the scale, a file of config/scales/.
        settings: the scale's settings.
        methods: the methods of config/study.yaml, by name.
        training: the training recipe of config/study.yaml.
        runs: spec of every training run, by run_id, in the study's order.
        sensing: spec of the matrix sensing sweep.
        neuron: spec of the single-neuron descents.
        artifacts: the tables and figures, by name.
    """

    scale: str
    settings: dict
    methods: dict
    training: dict
    runs: dict[str, dict]
    sensing: dict
    neuron: dict
    artifacts: dict[str, Artifact]

    def spec(self, run_id: str) -> dict:
        """The spec of a run.

        Raises:
            UserError: the study has no such run at this scale.
        """
        if run_id not in self.runs:
            raise unknown("run", run_id, self.runs, f"scale {self.scale}")
        return self.runs[run_id]

    def artifact(self, name: str) -> Artifact:
        """A table or figure by name.

        Raises:
            UserError: there is no such artifact.
        """
        if name not in self.artifacts:
            raise unknown("artifact", name, self.artifacts, "config/study.yaml")
        return self.artifacts[name]


def load_config(root: Path = Path()) -> dict:
    """config/config.yaml, checked."""
    return read_config(root / "config/config.yaml", root / CONFIG_SCHEMA)


def check_config(config: dict, root: Path = Path()) -> None:
    """Check the configuration that Snakemake has put together from config/config.yaml and its command line.

    Raises:
        UserError: the first fault found.
    """
    check(config, root / CONFIG_SCHEMA, "config (config/config.yaml and --config)")


def scale_names(root: Path = Path()) -> list[str]:
    """The scales on offer, one for each file of config/scales/."""
    return sorted(path.stem for path in (root / "config/scales").glob("[!.]*.yaml"))


def load_study(scale: str, root: Path = Path()) -> Study:
    """Read the study's configuration and expand it into the runs of one scale.

    Args:
        scale: name of a file of config/scales/, without its suffix.
        root: the project's root.

    Raises:
        UserError: a configuration file is faulty, or names something that does not exist.
    """
    schemas = root / "workflow/schemas"
    design = read_config(root / "config/study.yaml", schemas / "study.schema.yaml")
    if scale not in scale_names(root):
        raise unknown("scale", scale, scale_names(root), "config/scales/")
    scale_file = root / f"config/scales/{scale}.yaml"
    settings = read_config(scale_file, schemas / "scale.schema.yaml")
    for name in settings.get("experiment_seeds", {}):
        if name not in design["experiments"]:
            raise unknown("experiment", name, design["experiments"], f"{scale_file}: experiment_seeds")
    _check_methods(design["methods"])

    runs: dict[str, dict] = {}
    experiments: dict[str, list[str]] = {}
    for name, experiment in design["experiments"].items():
        expanded = {run_id(spec): spec for spec in _expand(name, experiment, design, settings)}
        experiments[name] = list(expanded)
        runs |= expanded

    sensing = {**design["sensing"], "draws": settings["sensing_draws"]}
    artifacts = {
        name: _artifact(name, entry, experiments, runs, sensing) for name, entry in design["artifacts"].items()
    }
    return Study(scale, settings, design["methods"], design["training"], runs, sensing, design["neuron"], artifacts)


def published(root: Path = Path()) -> dict:
    """config/published.yaml, the numbers printed in the original report, checked."""
    return read_config(root / "config/published.yaml", root / "workflow/schemas/published.schema.yaml")


def canonical(spec: dict) -> str:
    """The one JSON text of a spec: sorted keys, no spaces."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


def run_id(spec: dict) -> str:
    """A run's name: what a reader wants to know of it, and a hash of everything that defines it."""
    rho = f"-rho{spec['rho']:g}" if spec["optimizer"] == "sam" else ""
    return f"{spec['network']}-{spec['method']}{rho}-seed{spec['seed']}-{_digest(spec, TRAINING_SEMANTICS)}"


def sensing_id(spec: dict) -> str:
    """The name of a matrix sensing sweep."""
    return f"matrix-sensing-{_digest(spec, SENSING_SEMANTICS)}"


def neuron_id(spec: dict) -> str:
    """The name of the single-neuron descents."""
    return f"single-neuron-{_digest(spec, NEURON_SEMANTICS)}"


def network_arguments(spec: dict) -> dict:
    """The size arguments of a spec's network, which the flat spec holds with the prefix "network_"."""
    return {key.removeprefix("network_"): value for key, value in spec.items() if key.startswith("network_")}


def _digest(spec: dict, semantics: int) -> str:
    return hashlib.sha256(f"{semantics}\n{canonical(spec)}".encode()).hexdigest()[:10]


def _expand(name: str, experiment: dict, design: dict, settings: dict) -> list[dict]:
    """The specs of one experiment: networks × methods × radii × seeds."""
    where = f"config/study.yaml: experiments.{name}"
    seeds = settings.get("experiment_seeds", {}).get(name, settings["seeds"])
    specs = []
    for network in experiment["networks"]:
        if network not in settings["networks"]:
            raise unknown("network", network, settings["networks"], where)
        for entry in experiment["runs"]:
            if entry["method"] not in design["methods"]:
                raise unknown("method", entry["method"], design["methods"], where)
            method = design["methods"][entry["method"]]
            if (method["optimizer"] == "sam") != ("rho" in entry):
                remedy = "give it a list of radii, rho" if method["optimizer"] == "sam" else "remove its rho"
                raise UserError(f"{where}: method {entry['method']}: {remedy}")
            for rho in entry.get("rho", [0.0]):
                specs += [_spec(network, entry["method"], method, rho, seed, design, settings) for seed in seeds]
    return specs


def _spec(network: str, name: str, method: dict, rho: float, seed: int, design: dict, settings: dict) -> dict:
    dataset, training = settings["dataset"], design["training"]
    ascent = {"rho": float(rho), **{key: method[key] for key in ASCENT_KEYS if key in method}}
    if "p" in ascent:
        ascent["p"] = ascent["p"] if ascent["p"] == "inf" else float(ascent["p"])
        ascent["eta"] = float(ascent.get("eta", 0.0))
    return {
        "dataset": dataset["name"],
        # A folder of images has no other name than its title; where it lies on this machine is not the run's identity.
        **({"dataset_title": dataset["title"]} if dataset["name"] == "image_folder" else {}),
        "crop_padding": dataset["crop_padding"],
        "flip": dataset["flip"],
        "cutout": dataset["cutout"],
        "network": network,
        **{f"network_{key}": value for key, value in settings["networks"][network].items()},
        "method": name,
        "optimizer": method["optimizer"],
        **(ascent if method["optimizer"] == "sam" else {}),
        "learning_rate": float(training["learning_rate"]),
        "milestones": [float(fraction) for fraction in training["milestones"]],
        "learning_rate_factor": float(training["learning_rate_factor"]),
        "momentum": float(training["momentum"]),
        "weight_decay": float(training["weight_decay"]),
        "label_smoothing": float(training["label_smoothing"]),
        "epochs": settings["epochs"],
        "batch_size": settings["batch_size"],
        "precision": settings["precision"],
        "seed": seed,
    }


def _check_methods(methods: dict) -> None:
    """Two names for one method would train the same run twice."""
    seen: dict[str, str] = {}
    for name, method in methods.items():
        definition = canonical({key: value for key, value in method.items() if key != "title"})
        if definition in seen:
            raise UserError(
                f"config/study.yaml: methods {seen[definition]} and {name} are the same method; keep one of the two"
            )
        seen[definition] = name


def _artifact(name: str, entry: dict, experiments: dict, runs: dict, sensing: dict) -> Artifact:
    """An artifact with its runs, once it is known that everything that it shows is computed."""
    where = f"config/study.yaml: artifacts.{name}"
    missing = set(entry.get("sensing", [])) - set(sensing["rho"])
    if missing:
        raise UserError(f"{where}: sensing radius {min(missing)} is not swept; add it to sensing.rho")
    if entry.get("steps", 0) > sensing["steps"]:
        raise UserError(f"{where}: steps is {entry['steps']}, but sensing.steps is {sensing['steps']}; show no more")
    if "experiment" not in entry:
        return Artifact(name, (), entry)
    if entry["experiment"] not in experiments:
        raise unknown("experiment", entry["experiment"], experiments, where)
    trained = {identity: runs[identity] for identity in experiments[entry["experiment"]]}
    networks = {spec["network"] for spec in trained.values()}
    if "network" in entry:
        if entry["network"] not in networks:
            raise unknown("network", entry["network"], networks, where)
        networks = {entry["network"]}
    seeds = list(dict.fromkeys(spec["seed"] for spec in trained.values()))
    if "seed" in entry and entry["seed"] not in seeds:
        entry = entry | {"seed": seeds[0]}
    shown = tuple(identity for identity, spec in trained.items() if spec["network"] in networks)
    return Artifact(name, shown, entry)
