"""How numbers and names are written, in Markdown and in LaTeX."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpness.evidence import formatting
from sharpness.evidence.formatting import LATEX, MARKDOWN, roman

FORMS = pytest.mark.parametrize("form", [MARKDOWN, LATEX], ids=["Markdown", "LaTeX"])
MISSING = pytest.mark.parametrize("missing", [None, math.nan])

numbers = st.floats(-1e6, 1e6)
powers = st.floats(1e-300, 1e300)


def value_of(text: str) -> float:
    """The number that a text shows, in Markdown or in LaTeX."""
    power = re.search(r"10(?:\^\{(-?\d+)\}|([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))\$?$", text)
    if power and ("×" in text or "times" in text):
        exponent = int(power[1] or power[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
        mantissa = re.match(r"[^ ]+", text)[0]
        return value_of(mantissa) * 10.0**exponent
    return float(text.replace("$-$", "-").replace("−", "-"))


@FORMS
@given(value=numbers, digits=st.integers(0, 6))
def test_a_fixed_number_has_so_many_decimals_and_its_value(form, value, digits):
    text = form.fixed(value, digits)
    assert len(text.partition(".")[2]) == digits
    assert value_of(text) == pytest.approx(value, abs=0.5001 * 10.0**-digits)


@FORMS
@given(value=numbers)
def test_a_signed_number_has_its_sign_and_zero_is_positive(form, value):
    text = form.signed(value, 2)
    assert text.startswith(form.minus if round(value, 2) < 0 else "+")
    assert value_of(text) == pytest.approx(value, abs=0.00501)


def test_what_rounds_to_zero_has_no_minus():
    assert MARKDOWN.signed(-0.00001) == MARKDOWN.signed(0.0) == LATEX.signed(-0.0) == "+0.0000"
    assert (MARKDOWN.signed(-0.0417), LATEX.signed(-0.0417)) == ("−0.0417", "$-$0.0417")


@FORMS
@MISSING
def test_a_missing_number_is_a_dash(form, missing):
    dash = {MARKDOWN: "—", LATEX: "---"}[form]
    assert {form.fixed(missing), form.signed(missing), form.measured(missing), form.spread(missing, 0.1)} == {dash}


@MISSING
def test_an_effect_that_is_only_what_rounding_leaves_is_zero(missing):
    assert [MARKDOWN.effect(value) for value in (-5e-10, -0.0, 0.00233, -2e-6, missing)] == [
        "0",
        "0",
        "0.00233",
        "−2 × 10⁻⁶",
        "—",
    ]


@MISSING
def test_a_mean_without_a_deviation_stands_alone(missing):
    assert MARKDOWN.spread(0.93, 0.0361) == "0.9300 ± 0.0361"
    assert LATEX.spread(0.93, 0.0361) == r"0.9300 $\pm$ 0.0361"
    assert MARKDOWN.spread(0.93, missing) == LATEX.spread(0.93, missing) == "0.9300"


@FORMS
@given(value=powers)
def test_three_digits_of_a_loss_and_of_an_effect_can_be_read_back(form, value):
    assert value_of(form.loss(value)) == pytest.approx(value, rel=0.005)
    assert value_of(form.measured(-value)) == pytest.approx(-value, rel=0.005)
    assert value_of(form.measured(value, digits=8)) == pytest.approx(value, rel=5e-8)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (4.714, "4.71"),
        (22.873, "22.9"),
        (0.05, "0.0500"),
        (996.0, "996"),
        (70595465.0, "7.06 × 10⁷"),
        (1e-10, "1.00 × 10⁻¹⁰"),
        *[(lost, "diverged") for lost in (None, math.nan, math.inf, 1.5e308)],
    ],
)
def test_losses_are_written_with_three_digits(loss, text):
    assert MARKDOWN.loss(loss) == text


def test_powers_of_ten_are_unicode_in_markdown_and_maths_in_latex():
    assert (MARKDOWN.loss(1.5e65), LATEX.loss(1.5e65)) == ("1.50 × 10⁶⁵", r"1.50 $\times$ $10^{65}$")
    assert (MARKDOWN.measured(9.81e-7), LATEX.measured(9.81e-7)) == ("9.81 × 10⁻⁷", r"9.81 $\times$ $10^{-7}$")
    assert (MARKDOWN.measured(-0.0142), LATEX.measured(-0.0142)) == ("−0.0142", "$-$0.0142")


@pytest.mark.parametrize(("value", "text"), [(0.05, "0.05"), (2.0, "2"), (1e-5, "1e−05"), (100.0, "100")])
def test_a_setting_is_written_as_a_person_does(value, text):
    assert MARKDOWN.short(value) == text


@given(
    value=numbers | powers | st.none(),
    title=st.text(alphabet=st.sampled_from("aZ9 \\&%$#_{}~^|×∞ρη±−–—"), max_size=20),
)
def test_latex_has_ascii_only_and_balanced_braces(value, title):
    texts = [LATEX.fixed(value), LATEX.signed(value), LATEX.spread(value, value), LATEX.measured(value)]
    texts += [LATEX.loss(value), LATEX.text(title), LATEX.bold(LATEX.text(title))]
    for text in texts:
        assert text.isascii()
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        assert re.sub(r"\\[$]", "", text).count("$") % 2 == 0


@given(st.text(alphabet="ab &%$#_{}1", max_size=20))
def test_what_latex_escapes_can_be_read_back(title):
    assert re.sub(r"\\(.)", r"\1", LATEX.text(title)) == title
    assert not re.search(r"(?<!\\)[&%$#_{}]", LATEX.text(title))


@given(st.text(alphabet="\\`*_{}[]<>#|$~^@ab 1", max_size=20))
def test_plain_text_is_left_unformatted(text):
    escaped = MARKDOWN.text(text)

    assert re.sub(r"\\(.)", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>#|$~^@]", escaped)


def test_a_bold_cell_is_bold_in_each_form():
    assert (MARKDOWN.bold("0.9"), LATEX.bold("0.9")) == ("**0.9**", r"\textbf{0.9}")


@given(st.integers(1, 399))
def test_roman_numerals_are_their_numbers(number):
    letters = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
    values = [letters[letter] for letter in roman(number)]
    signed = [-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True)]
    assert sum(signed) == number
    assert not re.search(r"IIII|XXXX|CCCC|VV|LL|[IV]+[LC]|I[^IVX]", roman(number))


def test_roman_numerals_of_known_numbers():
    known = {1: "I", 4: "IV", 9: "IX", 10: "X", 14: "XIV", 39: "XXXIX", 40: "XL", 90: "XC", 399: "CCCXCIX"}
    assert {number: roman(number) for number in known} == known


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "—"), (0.04, "0.0 s"), (7.46, "7.5 s"), (60, "1.0 min"), (246, "4.1 min"), (3600, "1.0 h"), (90000, "25.0 h")],
)
def test_times_of_known_lengths(seconds, text):
    assert formatting.duration(seconds) == text


@given(st.floats(0.1, 1e7))
def test_a_time_is_in_the_largest_unit_that_leaves_at_least_one(seconds):
    number, unit = formatting.duration(seconds).split()
    size = {"s": 1, "min": 60, "h": 3600}[unit]
    assert float(number) == pytest.approx(seconds / size, abs=0.0501)
    assert unit == "s" or float(number) >= 1
    assert unit == "h" or float(number) <= 60


@pytest.mark.parametrize(
    ("megabytes", "text"), [(0.0, "—"), (603.6, "604 MiB"), (1024.0, "1.0 GiB"), (2560, "2.5 GiB")]
)
def test_memory_of_known_sizes(megabytes, text):
    assert formatting.memory(megabytes) == text


@pytest.mark.parametrize(("value", "text"), [(True, "yes"), (False, "no"), (None, "—")])
def test_yes_and_no(value, text):
    assert formatting.yes_no(value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs")])
def test_a_single_thing_is_in_the_singular(count, text):
    assert formatting.counted(count, "epoch") == text


@given(st.sets(st.integers(1, 40), min_size=1))
def test_job_numbers_are_written_as_ranges(numbers):
    order = {f"job{number}": None for number in range(1, 41)}

    text = formatting.numbered([f"job{number}" for number in numbers], order)

    read = set()
    for part in text.split(", "):
        first, _, last = part.partition("–")
        read |= set(range(int(first), int(last or first) + 1))
    assert read == numbers


def test_no_job_is_a_dash():
    assert formatting.numbered([], {"job1": None}) == "—"


@pytest.mark.parametrize(
    ("method", "formula"),
    [
        ({"optimizer": "sgd"}, "$0$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "dual"}, r"$\rho\, g/\lVert g\rVert_2$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "none"}, r"$\rho\, g$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "max"}, r"$\rho\, g/\lVert g\rVert_\infty$"),
        ({"p": "inf", "geometry": "euclidean", "normalization": "dual"}, r"$\rho\, \,\operatorname{sign}(g)$"),
        (
            {"p": 2, "geometry": "absolute", "normalization": "dual"},
            r"$\rho\, T^2g/\lVert Tg\rVert_2, \quad T = \left\lvert w\right\rvert$",
        ),
        (
            {"p": 2, "geometry": "fisher", "normalization": "none"},
            r"$\rho\, T^2g, \quad T^2 = 1/(1 + \eta\, g^2)$",
        ),
        (
            {"p": 3, "geometry": "euclidean", "normalization": "dual"},
            r"$\rho\, \,\operatorname{sign}(g)\,\left\lvert g\right\rvert^{q-1}/\lVert g\rVert_q^{q-1}, \quad q = 1.5$",
        ),
    ],
)
def test_ascent_steps_are_written_as_formulas(method, formula):
    assert formatting.ascent({"optimizer": "sam", **method}) == formula


def test_embedded_json_cannot_close_its_script():
    text = formatting.embedded({"label": "</script><b>"})

    assert "</" not in text
    assert json.loads(text) == {"label": "</script><b>"}
