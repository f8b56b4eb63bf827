"""config/study.yaml, read and checked as far as no scale is needed for it."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from sharpness import registry
from sharpness.config import read_config
from sharpness.errors import UserError
from sharpness.jobs import canonical
from sharpness.labels import refuse_one_title
from sharpness.paths import shipped
from sharpness.references import STUDY, lookup

ASCENT_KEYS = ("p", "geometry", "eta", "normalization")


def read_design(root: Path) -> dict:
    """The design: the content of config/study.yaml.

    Raises:
        UserError: the file is faulty.
    """
    design = {"theory": []} | read_config(root / STUDY, shipped("workflow/schemas/study.schema.yaml", root))
    for name in set(design["sections"]) & set(design["theory"]):
        raise UserError(f"{STUDY}: {name} is listed under sections and under theory; keep one of the two")
    milestones = design["training"]["milestones"]
    if any(one > other for one, other in pairwise(milestones)):
        raise UserError(f"{STUDY}: training.milestones is {milestones}; let them rise")
    _check_methods(design["methods"])
    refuse_one_title({f"artifacts.{name}": entry["title"] for name, entry in design["artifacts"].items()}, STUDY)
    return design


def ascent_of(method: Mapping[str, object]) -> dict[str, object]:
    """The ascent step of a method of optimizer sam as a spec has it: p, geometry, eta and normalization."""
    ascent = {key: method[key] for key in ASCENT_KEYS if key in method}
    ascent["p"] = ascent["p"] if ascent["p"] == "inf" else float(ascent["p"])
    ascent["eta"] = float(ascent.get("eta", 0.0))
    return ascent


def _check_methods(methods: dict) -> None:
    seen: dict[str, str] = {}
    for name, method in methods.items():
        where = f"{STUDY}: methods.{name}"
        ascent = ascent_of(method) if method["optimizer"] == "sam" else {}
        cost = {key: method[key] for key in ("when", "epochs_factor") if key in method}
        definition = canonical(ascent | cost)
        if definition in seen:  # two names for one method would train the same run twice
            raise UserError(f"{STUDY}: methods {seen[definition]} and {name} are the same method; keep one of the two")
        seen[definition] = name
        if method["optimizer"] == "sam":
            _check_geometry(method, where)
            if method["p"] != 2 and method["normalization"] == "max":
                raise UserError(f"{where}: p is {method['p']}, which normalization 'max' ignores; write 2")
            if method["p"] == 1 and method["normalization"] == "none":
                raise UserError(f"{where}: normalization: 'none' has no limit at p = 1; write dual, or a larger p")
    refuse_one_title({f"methods.{name}": method["title"] for name, method in methods.items()}, STUDY)


def _check_geometry(method: dict, where: str) -> None:
    known = {name.replace("_", "-"): name for name in registry.names("optim.geometries")}
    module = lookup("geometry", method["geometry"], known, where)
    registry.check_constants("optim.geometries", module, where, "FORMULA", "HAS_ETA")
    if method["p"] != 2 and (law := method["normalization"]) in registry.constants("optim", "laws")["FORMULAS"]:
        raise UserError(f"{where}: normalization {law} is a law of the Euclidean norm; give it p: 2")
    if method.get("eta") and not registry.constants("optim.geometries", module)["HAS_ETA"]:
        raise UserError(f"{where}: geometry {method['geometry']} has no constant eta; remove it")
