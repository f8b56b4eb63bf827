"""The labels by which readers tell things apart: two that look alike are refused."""

import math
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sharpness import registry
from sharpness.errors import UserError
from sharpness.references import STUDY
from sharpness.scales import scale_file

if TYPE_CHECKING:
    from sharpness.study import Study


def check_titles(study: "Study") -> None:
    """Labels by which readers tell methods, radii and networks apart must differ; so must titles of data sets.

    Raises:
        UserError: two coincide.
    """
    seen: dict[str, str] = {}
    for spec in (job.spec for job in study.runs.values()):
        run = f"{spec['method']} at rho {spec['rho']!r}" if "rho" in spec else spec["method"]
        label = labelled(study.methods[spec["method"]]["title"], spec.get("rho"))
        other = seen.setdefault(seen_as(label), run)
        if other != run:
            raise UserError(f"{STUDY}: experiments: {other} and {run} are both shown as '{label}'; change one of them")
    networks = dict.fromkeys([*(job.spec["network"] for job in study.runs.values()), *study.settings["networks"]])
    shown = {f"networks {name}": str(registry.constants("networks", name)["TITLE"]) for name in networks}
    refuse_one_title(shown, "src/sharpness/networks/")
    data = study.settings["dataset"]
    for name in registry.names("datasets"):
        known = registry.constants("datasets", name).get("TITLE", name)
        if name != data["name"] and seen_as(known) == seen_as(data["title"]):
            where = f"{scale_file(study.scale)}: dataset.title"
            raise UserError(f"{where} is that of the data set {name}; give these images another")


def refuse_one_title(titles: Mapping[str, str], file: str) -> None:
    """Refuse two things that readers could not tell apart: titles that differ in spaces or capitals at most.

    Args:
        titles: the titles by the keys under which they stand.
        file: where, for the message.

    Raises:
        UserError: two coincide.
    """
    seen: dict[str, str] = {}
    for key, title in titles.items():
        other = seen.setdefault(seen_as(title), key)
        if other != key:
            raise UserError(f"{file}: {other} and {key} have one title, '{title}'; give one of them another")


def labelled(title: str, rho: float | None) -> str:
    """A method's title and its radius (None or NaN: it has none), such as "SAM, ρ = 0.05"."""
    return title if rho is None or math.isnan(rho) else f"{title}, ρ = {rho:g}"


def seen_as(title: str) -> str:
    """What two titles that look alike have in common."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())
