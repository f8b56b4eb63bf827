"""How the report writes numbers and names in Markdown: the filters of its template."""

import json
from itertools import groupby

NOTHING = "—"


def fixed(value: float | None, digits: int = 4) -> str:
    """A number with a fixed count of decimals, a dash for None."""
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 4) -> str:
    """As `fixed`, with its sign; what rounds to zero is +0."""
    return NOTHING if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def short(value: float) -> str:
    """A setting as a person writes it: 0.05, 2, 1e-05."""
    return f"{value:g}".replace("-", "−")


def measured(value: float) -> str:
    """An effect with three significant digits, with a power of ten where it is very small or large."""
    return _with_power(f"{value:.3g}")


def sensed(loss: float | None) -> str:
    """A loss with three significant digits, from a thousand on with a power of ten; None has diverged."""
    return "diverged" if loss is None else _with_power(f"{loss:#.3g}".rstrip("."))


def yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: NOTHING}[value]


def duration(seconds: float) -> str:
    """A time in the largest unit that leaves at least 1 of it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds else NOTHING


def memory(megabytes: float) -> str:
    if not megabytes:
        return NOTHING
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes:.0f} MiB"


def ascent(method: dict) -> str:
    """The ascent step of a method of config/study.yaml as a formula."""
    if method["optimizer"] != "sam":
        return "$0$"
    where = {
        "euclidean": "",
        "absolute": r", \quad T = \left\lvert w\right\rvert",
        "absolute-weights": r", \quad T = \left\lvert w\right\rvert + \eta \text{ on weights, } 1 \text{ elsewhere}",
        "fisher": r", \quad T^2 = 1/(1 + \eta\, g^2)",
    }[method["geometry"]]
    scale, square = ("T", "T^2") if where else ("", "")
    scaled = f"{scale}g"
    norm, sign = rf"\lVert {scaled}\rVert", rf"\operatorname{{sign}}({scaled})"
    size = rf"\left\lvert {scaled}\right\rvert"
    match method["normalization"], method["p"]:
        case "max", _:
            step = rf"\rho\, {square}g/{norm}_\infty"
        case "none", 2:
            step = rf"\rho\, {square}g"
        case "dual", 2:
            step = rf"\rho\, {square}g/{norm}_2"
        case _, "inf":
            step = rf"\rho\, {scale}\,{sign}"
        case _, 1:
            step = rf"\rho\, {scale}\,{sign} \text{{ where }} {size} \text{{ is largest}}"
        case normalization, p:
            divisor = f"/{norm}_q^{{q-1}}" if normalization == "dual" else ""
            step = rf"\rho\, {scale}\,{sign}\,{size}^{{q-1}}{divisor}, \quad q = {p / (p - 1):.3g}"
    return f"${step}{where}$"


def numbered(identities: list[str], order: dict) -> str:
    """Some jobs by their numbers in an order, from 1, consecutive ones as a range: "1–8, 10"."""
    numbers = sorted(list(order).index(identity) + 1 for identity in identities)
    runs = [[number for _, number in group] for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs) or NOTHING


def plain(text: str) -> str:
    """Text in which Markdown finds nothing to format."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]<>#|$~^@" else character for character in text)


def embedded(value: object) -> str:
    """JSON that can stand in an HTML script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")


def _with_power(number: str) -> str:
    """Python's 1.5e+65 as a formula."""
    mantissa, _, exponent = number.partition("e")
    return f"${mantissa} \\times 10^{{{int(exponent)}}}$" if exponent else number.replace("-", "−")


FILTERS = {
    function.__name__: function
    for function in (
        fixed,
        signed,
        short,
        measured,
        sensed,
        yes_no,
        duration,
        memory,
        ascent,
        numbered,
        plain,
        embedded,
    )
}
