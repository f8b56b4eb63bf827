"""The scales of config/scales/: on which data, with which network sizes, how long and with which seeds a study runs."""

import re
from pathlib import Path

from sharpness import registry
from sharpness.config import check, check_text
from sharpness.errors import UserError, unknown
from sharpness.fit import check_fit
from sharpness.paths import shipped
from sharpness.yaml_files import read_yaml

# A scale's name is that of its folders, and stands in Snakemake's patterns and in shell commands.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


def scale_names(root: Path = Path()) -> list[str]:
    """The scales on offer, one for each file of config/scales/."""
    return sorted(path.stem for path in (root / "config/scales").glob("[!.]*.yaml"))


def scale_file(scale: str) -> str:
    """The file of a scale, relative to the project's root."""
    return f"config/scales/{scale}.yaml"


def scale_files(scale: str, root: Path = Path()) -> list[str]:
    """The file of a scale and those of the scales that it extends.

    Raises:
        UserError: as read_scale.
    """
    return [scale_file(name) for name in _merged(scale, root, ())[1]]


def read_scale(scale: str, root: Path) -> dict:
    """A scale's settings, those of the scale that it extends included.

    Args:
        scale: name of a file of config/scales/, without its suffix.
        root: the project's root.

    Raises:
        UserError: there is no such scale, or its file, or one that it extends, is faulty.
    """
    from sharpness import datasets  # it imports NumPy, for which the command's help must not wait

    settings, chain = _merged(scale, root, ())
    where = f"{scale_file(scale)}{' (extends ' + ', '.join(chain[1:]) + ')' if len(chain) > 1 else ''}"
    check(settings, shipped("workflow/schemas/scale.schema.yaml", root), where)
    check_text(settings, where)
    datasets.source_of(settings["dataset"], where)
    registry.check_constants("datasets", settings["dataset"]["name"], f"{where}: dataset.name", "TITLE", "CITATION")
    for name in settings["networks"]:
        registry.check_constants("networks", name, f"{where}: networks", "TITLE", "CITATION")
    check_fit(settings, list(settings["networks"]), where)
    return settings


def _merged(scale: str, root: Path, below: tuple[str, ...]) -> tuple[dict, tuple[str, ...]]:
    """The settings of a scale's file over those of the scale that it extends, and the names of all these scales.

    Of a mapping, such as dataset or networks, each key is replaced whole.
    """
    where = scale_file(below[-1]) + ": extends" if below else "config/scales/"
    if scale not in scale_names(root):
        raise unknown("scale", scale, scale_names(root), where)
    if not NAME.fullmatch(scale):
        raise UserError(
            f"config/scales/: {scale!r} is no name for a scale; rename the file to match {NAME.pattern}.yaml"
        )
    if scale in below:
        raise UserError(f"{where}: {' → '.join([*below, scale])} is a circle; let one of them extend no other")
    own = read_yaml(root / scale_file(scale))
    if not isinstance(own, dict) or "extends" not in own:
        return own, (scale,)
    if not isinstance(own["extends"], str):
        raise UserError(f"{scale_file(scale)}: extends must be of type string, not {own['extends']!r}; name a scale")
    settings, chain = _merged(own["extends"], root, (*below, scale))
    if not isinstance(settings, dict):
        return settings, (scale, *chain)
    for key, value in own.items():
        mappings = isinstance(value, dict) and isinstance(settings.get(key), dict)
        settings[key] = settings[key] | value if mappings else value
    return settings, (scale, *chain)
