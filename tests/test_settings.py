"""Settings as dataclasses that check themselves: what becomes of a file's values, and what is refused, with its key."""

import json
from dataclasses import dataclass

import pytest

from sharpness.errors import SettingError, UserError
from sharpness.settings import build, plain, require


@dataclass(frozen=True)
class Range:
    low: float
    high: float

    def __post_init__(self) -> None:
        require(self.low <= self.high, f"low is {self.low:g}; it must be at most {self.high:g}")


@dataclass(frozen=True)
class Settings:
    name: str
    steps: int
    rate: float
    radii: tuple[float, ...]
    pair: tuple[int, float]
    range: Range
    ranges: tuple[Range, ...] = ()
    fast: bool = False
    limit: float | None = None

    def __post_init__(self) -> None:
        require(self.steps > 0, f"steps is {self.steps}; it must be more than 0")


GOOD = {
    "name": "one",
    "steps": 3,
    "rate": 0.5,
    "radii": [0.1, 0.2],
    "pair": [1, 2.5],
    "range": {"low": 0.0, "high": 1.0},
}


def built(**values: object) -> Settings:
    return build(Settings, GOOD | values, "config/study.yaml", "problems.one")


def test_a_file_s_values_become_fields():
    settings = built(ranges=[{"low": 0, "high": 1}], fast=True, limit=None)
    assert settings == Settings(
        "one", 3, 0.5, (0.1, 0.2), (1, 2.5), Range(0.0, 1.0), ranges=(Range(0.0, 1.0),), fast=True, limit=None
    )
    assert (built().fast, built().limit, built(limit=2).limit) == (False, None, 2.0)


def test_a_whole_number_where_the_field_is_a_float_is_the_same_setting():
    settings = built(rate=1, radii=[1, 2], pair=[1, 2], range={"low": 0, "high": 1})
    assert json.dumps(plain(settings)) == json.dumps(
        plain(built(rate=1.0, radii=[1.0, 2.0], pair=[1, 2.0], range={"low": 0.0, "high": 1.0}))
    )


def test_plain_settings_are_json_that_builds_them_again():
    settings = built(ranges=[{"low": 0.0, "high": 1.0}], limit=2.0)
    read = json.loads(json.dumps(plain(settings)))
    assert read == GOOD | {"ranges": [{"low": 0.0, "high": 1.0}], "fast": False, "limit": 2.0}
    assert build(Settings, read, "run.json", "spec") == settings


def test_keys_for_others_are_left_to_them_and_fixed_fields_are_no_keys():
    values = {key: value for key, value in GOOD.items() if key != "name"} | {"kind": "any"}
    assert build(Settings, values, "study.yaml", "one", beside=["kind"], name="fixed").name == "fixed"
    with pytest.raises(UserError) as refused:
        build(Settings, values | {"name": "mine"}, "study.yaml", "one", beside=["kind"], name="fixed")
    assert str(refused.value) == (
        "study.yaml: unknown key 'name' in one; choose from: kind, steps, rate, radii, pair, range, ranges, fast, limit"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, "unknown key 'step' in problems.one; did you mean 'steps'?"),
        ({"steps": 0}, "problems.one.steps is 0; it must be more than 0"),
        ({"steps": 2.0}, "problems.one.steps is 2.0; give a whole number"),
        ({"steps": True}, "problems.one.steps is True; give a whole number"),
        ({"rate": "5e-4"}, "problems.one.rate is '5e-4'; give a number"),
        ({"rate": False}, "problems.one.rate is False; give a number"),
        ({"rate": None}, "problems.one.rate is None; give a number"),
        ({"limit": "none"}, "problems.one.limit is 'none'; give a number"),
        ({"name": 1}, "problems.one.name is 1; give text"),
        ({"fast": 1}, "problems.one.fast is 1; give true or false"),
        ({"radii": 0.1}, "problems.one.radii is 0.1; give a list"),
        ({"radii": []}, "problems.one.radii is empty; give at least one"),
        ({"radii": [0.1, 0.2, 0.1]}, "problems.one.radii lists a value twice; list each once"),
        ({"radii": [1, 1.0]}, "problems.one.radii lists a value twice; list each once"),
        ({"radii": [0.1, "x"]}, "problems.one.radii.1 is 'x'; give a number"),
        ({"pair": [1]}, "problems.one.pair has 1 values; give 2"),
        ({"pair": [1.5, 2]}, "problems.one.pair.0 is 1.5; give a whole number"),
        ({"range": 3}, "problems.one.range is 3; give it keys of its own"),
        ({"range": {"low": 1}}, "problems.one.range lacks the key 'high'; add it"),
        ({"range": {"low": 2, "high": 1}}, "problems.one.range.low is 2; it must be at most 1"),
        ({"range": {"low": 0, "hgih": 1}}, "unknown key 'hgih' in problems.one.range; did you mean 'high'?"),
        ({"ranges": [{"low": 2, "high": 1}]}, "problems.one.ranges.0.low is 2; it must be at most 1"),
    ],
)
def test_a_bad_setting_is_refused_with_its_file_key_and_remedy(values, message):
    with pytest.raises(UserError) as refused:
        built(**values)
    assert str(refused.value) == f"config/study.yaml: {message}"


@pytest.mark.parametrize("key", GOOD)
def test_a_setting_without_a_default_must_be_given(key):
    with pytest.raises(UserError) as refused:
        build(Settings, {name: value for name, value in GOOD.items() if name != key}, "study.yaml", "one")
    assert str(refused.value) == f"study.yaml: one lacks the key '{key}'; add it"


def test_a_bug_in_a_class_shows_itself():
    @dataclass(frozen=True)
    class Faulty:
        steps: int

        def __post_init__(self) -> None:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        build(Faulty, {"steps": 1}, "study.yaml", "one")


def test_a_condition_that_fails_raises_its_message():
    require(condition=True, message="fine")
    with pytest.raises(SettingError, match=r"^steps is 0$"):
        require(condition=False, message="steps is 0")
