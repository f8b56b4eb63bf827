"""Toy problems: optimisation problems that are not networks.

A problem is a module of this package with SEMANTICS, a dataclass Settings that checks itself (its fields are the keys
of the problem's entry in config/study.yaml), and compute, from settings to a tidy frame. The modules are imported by
all that loads the study, so they import torch where they compute.

It may have a summary, from that frame to what the report's text quotes, and JUDGED, the columns of the frame that
a claim may judge as a prediction's error, and PREDICTED, the laws that have a prediction where not all have. Settings
may have `entries`, roughly how many numbers the problem holds at once, which decides whether it fits into memory.
"""

from sharpness import registry
from sharpness.errors import UserError, settings_of
from sharpness.jobs import Job
from sharpness.references import lookup
from sharpness.scales import scale_file
from sharpness.settings import build, plain, require

# Of a problem's numbers, so that products of several stay within those that a computer has; of its counts, but for the
# seed; and of the numbers that it holds at once (64 GiB in double precision).
SMALLEST, LARGEST = 1e-12, 1e12
LARGEST_COUNT, LARGEST_SEED = 10**7, 2**32 - 1
MOST_ENTRIES = 2**33


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
        lookup("problem", name, design["problems"], f"{scale_file(scale)}: problems")
    problems, parts = {}, {}
    for name, entry in design["problems"].items():
        key = f"problems.{name}"
        module = registry.load("problems", entry["kind"], f"{file}: {key}.kind")
        values = {key: value for key, value in entry.items() if key not in ("kind", "section", "split")}
        values |= own.get(name, {})
        where = f"{scale_file(scale)} (over {file})" if name in own else file
        with settings_of(f"{where}: {key}"):
            _check_size(build(module.Settings, values, where, key))
        slug, split = entry["kind"].replace("_", "-"), entry.get("split")
        specs = {name: (slug, values)}
        if split is not None:
            if not isinstance(values.get(split), list):
                raise UserError(f"{file}: {key}.split is '{split}', which is not one of its lists; name one that is")
            specs = {f"{name}-{value}": (f"{slug}-{value}", values | {split: [value]}) for value in values[split]}
        for part, (start, chosen) in specs.items():
            if part in problems or (part != name and part in design["problems"]):
                raise UserError(f"{file}: {key} has a part {part}, which another problem is called; rename one of them")
            spec = plain(build(module.Settings, chosen, where, key))
            problems[part] = Job(entry["kind"], spec, module.SEMANTICS, start, scale)
        parts[name] = list(specs)
    return problems, parts


def _check_size(settings: object) -> None:
    """Refuse numbers that overflow, and sizes that no machine holds."""
    for name, value in vars(settings).items():
        for number in value if isinstance(value, tuple) else [value]:
            if isinstance(number, float):
                fits = number == 0 or SMALLEST <= abs(number) <= LARGEST
                require(fits, f"{name} has {number:g}; give 0, or a size from {SMALLEST:g} to {LARGEST:g}")
            elif isinstance(number, int):
                most = LARGEST_SEED if name == "seed" else LARGEST_COUNT
                require(number <= most, f"{name} is {number:.3g}; it must be at most {most}")
    entries = getattr(settings, "entries", 0)
    size = f"{8 * entries / 2**30:.3g} GiB" if entries < 10**15 else "more than any"
    require(entries <= MOST_ENTRIES, f"its sizes would take {size} of memory; choose smaller ones")
