"""How numbers and names are written, in Markdown and in LaTeX; the filters of the report's template are Markdown's.

Text from config/ is plain: `text` is the one place where it becomes part of a Markdown or LaTeX document.
"""

import json
import math
import re
from itertools import groupby

from markupsafe import Markup

from sharpness import registry

LARGEST_LOSS = 1e308  # a loss beyond it has diverged
SMALLEST_EFFECT = 1e-6  # of equal accuracies the digits of history.csv leave less
DIVERGED = "diverged"

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))

# What pandoc interprets wherever it is (dashes and ellipses by the second of their characters on), and where a line
# begins: the marks of lists, definitions, titles and captions.
MARKDOWN_ANYWHERE = re.compile(r"""[\\`*_{}\[\]<>#|$~^@"']|&(?=#?\w+;)|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.""")
MARKDOWN_AT_START = re.compile(r"^((?:\(?[A-Za-z0-9]+(?=[.)](?:\s|$)))?|[Tt]able(?=:))([-+:%=.)])")


class Markdown:
    """Numbers and text in Markdown. A missing number (None or NaN) is a dash."""

    nothing = "—"
    minus = "−"
    plus_minus = "±"

    def text(self, text: str) -> str:
        """Text in which the format finds nothing to interpret; it is one line (`sharpness.config` sees to that)."""
        return MARKDOWN_AT_START.sub(r"\1\\\2", MARKDOWN_ANYWHERE.sub(r"\\\g<0>", text))

    def bold(self, cell: str) -> str:
        return f"**{cell}**"

    def power(self, mantissa: str, exponent: int) -> str:
        return f"{mantissa} × 10{str(exponent).translate(SUPERSCRIPTS)}"

    def fixed(self, value: float | None, digits: int = 4) -> str:
        """A number with a fixed count of decimals."""
        return self.nothing if _is_missing(value) else self._signs(f"{value:.{digits}f}")

    def signed(self, value: float | None, digits: int = 4) -> str:
        """As `fixed`, with its sign; what rounds to zero is +0."""
        return self.nothing if _is_missing(value) else self._signs(f"{round(value, digits) + 0.0:+.{digits}f}")

    def spread(self, mean: float | None, std: float | None) -> str:
        """A mean ± its standard deviation, or alone where that is missing."""
        if _is_missing(mean) or _is_missing(std):
            return self.fixed(mean)
        return f"{self.fixed(mean)} {self.plus_minus} {self.fixed(std)}"

    def short(self, value: float) -> str:
        """A setting as a person writes it: 0.05, 2, 1e-05."""
        return self._signs(f"{value:g}")

    def measured(self, value: float | None, digits: int = 3) -> str:
        """An effect with some significant digits, with a power of ten where it is very small or large."""
        return self.nothing if _is_missing(value) else self._scientific(f"{value:.{digits}g}")

    def effect(self, value: float | None) -> str:
        """What a part of a finding has measured: as `measured`, and 0 where it is only what rounding leaves of 0."""
        return self.measured(0.0 if value is not None and abs(value) < SMALLEST_EFFECT else value)

    def loss(self, value: float | None) -> str:
        """A loss of matrix sensing with three significant digits, from a thousand on with a power of ten."""
        if _is_missing(value) or value > LARGEST_LOSS:
            return DIVERGED
        return self._scientific(f"{value:#.3g}".rstrip("."))

    def _scientific(self, number: str) -> str:
        """Python's 1.5e+65 with a power of ten."""
        mantissa, _, exponent = number.partition("e")
        return self.power(self._signs(mantissa), int(exponent)) if exponent else self._signs(number)

    def _signs(self, number: str) -> str:
        return number.replace("-", self.minus)


class Latex(Markdown):
    """As Markdown, in LaTeX for a document that loads booktabs."""

    nothing = "---"
    minus = "$-$"
    plus_minus = r"$\pm$"

    # A row that begins with [ or * would be an argument of the line break before it; the empty groups keep apart what
    # fonts join: dashes, quotes.
    _escapes = str.maketrans(
        {character: f"\\{character}" for character in "&%$#_{}"}
        | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
        | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}"}
        | {"'": r"\textquotesingle{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}"}
        | {"×": r"$\times$", "∞": r"$\infty$", "ρ": r"$\rho$", "η": r"$\eta$", "±": r"$\pm$", "−": "$-$"}
        | {"–": "--", "—": "---"}
    )

    def text(self, text: str) -> str:
        return re.sub("-(?=-)", "-{}", text).translate(self._escapes)

    def bold(self, cell: str) -> str:
        return rf"\textbf{{{cell}}}"

    def power(self, mantissa: str, exponent: int) -> str:
        return rf"{mantissa} $\times$ $10^{{{exponent}}}$"


def roman(number: int) -> str:
    """A whole number from 1 to 399 in Roman numerals."""
    text = ""
    for value, letters in ROMAN:
        count, number = divmod(number, value)
        text += letters * count
    return text


def counted(count: int, noun: str) -> str:
    """A count of things, such as "1 epoch" or "2 epochs"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: Markdown.nothing}[value]


def duration(seconds: float) -> str:
    """A time in the largest unit that leaves at least 1 of it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds else Markdown.nothing


def memory(megabytes: float) -> str:
    if not megabytes:
        return Markdown.nothing
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes:.0f} MiB"


def numbered(identities: list[str], order: dict) -> str:
    """Some jobs by their numbers in an order, from 1, consecutive ones as a range: "1–8, 10"."""
    numbers = sorted(list(order).index(identity) + 1 for identity in identities)
    runs = [[number for _, number in group] for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs) or Markdown.nothing


def ascent(method: dict) -> Markup:
    """The ascent step of a method of config/study.yaml as a formula."""
    if method["optimizer"] != "sam":
        return Markup("$0$")
    formula = registry.constants("optim.geometries", method["geometry"].replace("-", "_"))["FORMULA"]
    where = rf", \quad {formula}" if formula else ""
    scale, square = ("T", "T^2") if where else ("", "")
    scaled = f"{scale}g"
    norm, sign = rf"\lVert {scaled}\rVert", rf"\operatorname{{sign}}({scaled})"
    size = rf"\left\lvert {scaled}\right\rvert"
    laws = registry.constants("optim", "laws")["FORMULAS"]
    match method["normalization"], method["p"]:
        case law, 2 if law in laws:
            factor = laws[law].replace("N", rf"{norm}_2")
            step = rf"\rho\, {factor}\, {square}g"
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
    return Markup(f"${step}{where}$" + _occasions(method.get("when", {})))


def _occasions(when: dict) -> str:
    """In which steps a method ascends, if not in all."""
    match when:
        case {"every": k}:
            radius = f", with ρ × {when['scale']:g}" if "scale" in when else ""
            return f" once in {counted(k, 'step')}{radius}"
        case {"last": share}:
            return f" in the last {100 * share:g} % of the steps"
        case {"after": steps}:
            return f" after {counted(steps, 'step')}"
    return ""


def embedded(value: object) -> Markup:
    """JSON that can stand in an HTML script element, where no < may be, as raw HTML of the report's Markdown."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def plain(value: object) -> Markup:
    """A value as Markdown that shows it as it is; Markdown itself (Markup) stays."""
    return value if isinstance(value, Markup) else Markup(MARKDOWN.text(str(value)))


def code(text: str) -> Markup:
    """Text in the typeface of code, whatever is in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence} {text} {fence}" if "`" in text else f"`{text}`")


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


MARKDOWN, LATEX = Markdown(), Latex()
FILTERS = {
    **{name: getattr(MARKDOWN, name) for name in ("fixed", "signed", "spread", "short", "measured", "effect", "loss")},
    **{function.__name__: function for function in (plain, code, counted, yes_no, duration, memory, numbered)},
    **{function.__name__: function for function in (ascent, embedded)},
}
