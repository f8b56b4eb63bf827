"""Toy problems: optimisation problems that are not networks.

A problem is a module of this package with SEMANTICS, a dataclass Settings that checks itself (its fields are the keys
of the problem's entry in config/study.yaml), and compute, from settings to a tidy frame. It may have a summary, from
that frame to what the report's text quotes. The modules are imported by all that loads the study, so they import torch
where they compute.
"""

from sharpness import registry
from sharpness.errors import UserError, unknown
from sharpness.jobs import Job
from sharpness.scales import scale_file
from sharpness.settings import build, plain


def expand_problems(scale: str, design: dict, settings: dict, file: str) -> tuple[dict[str, Job], dict[str, list[str]]]:
    """The toy problems at a scale.

    An entry that names one of its lists under `split` is one job for each value of it, called by the entry and the
    value.

    Args:
        scale: the scale's name.
        design: config/study.yaml.
        settings: the scale's settings.
        file: where the design is from.

    Returns:
        The jobs by their names, and these names by the entries.

    Raises:
        UserError: a setting is faulty.
    """
    own = settings.get("problems", {})
    for name in own:
        if name not in design["problems"]:
            raise unknown("problem", name, design["problems"], f"{scale_file(scale)}: problems")
    problems, parts = {}, {}
    for name, entry in design["problems"].items():
        key = f"problems.{name}"
        module = registry.load("problems", entry["kind"], f"{file}: {key}.kind")
        values = {key: value for key, value in entry.items() if key not in ("kind", "section", "split")}
        values |= own.get(name, {})
        where = f"{scale_file(scale)} (over {file})" if name in own else file
        slug, split = entry["kind"].replace("_", "-"), entry.get("split")
        specs = {name: (slug, values)}
        if split is not None:
            if not isinstance(values.get(split), list):
                raise UserError(f"{file}: {key}.split is '{split}', which is no list of its; name one that is")
            specs = {f"{name}-{value}": (f"{slug}-{value}", values | {split: [value]}) for value in values[split]}
        for part, (start, chosen) in specs.items():
            spec = plain(build(module.Settings, chosen, where, key))
            problems[part] = Job(entry["kind"], spec, module.SEMANTICS, start, scale)
        parts[name] = list(specs)
    return problems, parts
