"""Settings as dataclasses that check themselves: the fields are the keys, and say the types.

A problem, an artifact and a quantity of a claim each have such a class. Its `__post_init__` raises SettingError for
what no instance may have.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence

from sharpness.errors import SettingError, UserError, not_known, suggestion

T = typing.TypeVar("T")

NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def build(
    cls: type[T], values: Mapping[str, object], file: str, key: str, beside: Sequence[str] = (), **fixed: object
) -> T:
    """An instance of a dataclass from the settings under a key of a configuration file.

    Fields may be int, float, str, bool, tuples and dataclasses of these, and optional.

    Args:
        beside: keys that are allowed too, but are not fields.
        **fixed: fields that are not keys.

    Raises:
        UserError: a key is unknown or missing, a value has another type, or the class refuses it.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.name not in fixed}
    known = [*beside, *fields]
    for name in values:
        if name not in known:
            raise UserError(f"{file}: unknown key '{name}' in {key}; {suggestion(name, known)}")
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UserError(f"{file}: {key} lacks the key '{name}'; add it")
    hints = typing.get_type_hints(cls)
    given = {name: _converted(values[name], hints[name], file, f"{key}.{name}") for name in fields if name in values}
    try:
        return cls(**given, **fixed)
    except SettingError as error:
        raise UserError(f"{file}: {key}.{error}") from None


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Args:
        condition: whether it is allowed.
        message: its key and what is wrong with it, such as "rho is -1; it must be at least 0".

    Raises:
        SettingError: it is not allowed.
    """
    if not condition:
        raise SettingError(message)


def require_known(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones, such as a `kind` "problem", and suggest the nearest of them.

    Raises:
        SettingError: it is not.
    """
    known = list(known)
    if name not in known:  # the nearest is sought only then
        raise SettingError(not_known(kind, name, known))


def require_above_zero(settings: object, *names: str) -> None:
    """Refuse settings, numbers or lists of them, of which one is not above 0."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            require(min(value) > 0, f"{name} has {min(value):g}; give values above 0")
        else:
            require(value > 0, f"{name} is {value:g}; it must be more than 0")


def require_not_negative(settings: object, *names: str) -> None:
    """Refuse numbers below 0."""
    for name in names:
        require(getattr(settings, name) >= 0, f"{name} is {getattr(settings, name):g}; it must be at least 0")


def require_each_of(settings: object, name: str, known: Iterable[str]) -> None:
    """Refuse a list with a name that is not among the known ones."""
    for item in getattr(settings, name):
        require(item in known, f"{name} has '{item}'; choose from: {', '.join(known)}")


def require_range(settings: object, *names: str) -> None:
    """Refuse a range that is not above 0, or is empty."""
    for name in names:
        low, high = getattr(settings, name)
        require(0 < low <= high, f"{name} is {low:g} to {high:g}; give a range above 0, the lower end first")


def printed_alike(values: Iterable[object]) -> tuple[float, float] | None:
    """Two different numbers that a table or legend, which has six digits, would show as one."""
    seen: dict[str, float] = {}
    for value in values:
        if isinstance(value, float) and value == value and value != seen.setdefault(f"{value:g}", value):
            return seen[f"{value:g}"], value
    return None


def plain(settings: object) -> object:
    """A settings instance as JSON: dataclasses are objects, tuples lists."""
    if dataclasses.is_dataclass(settings):
        return {field.name: plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    return [plain(item) for item in settings] if isinstance(settings, tuple) else settings


def _converted(value: object, kind: object, file: str, key: str) -> object:
    """A value of a YAML file as its field has it: lists become tuples, mappings dataclasses, whole numbers floats."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        [kind] = (member for member in typing.get_args(kind) if member is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        return _tuple(value, typing.get_args(kind), file, key)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise UserError(f"{file}: {key} is {value!r}; give it keys of its own")
        return build(kind, value, file, key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{file}: {key} is {value!r}; give {NAMES[kind]}")
    if kind is str and not value.strip():
        raise UserError(f"{file}: {key} is empty; give text")
    return value


def _tuple(value: object, kinds: tuple, file: str, key: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise UserError(f"{file}: {key} is {value!r}; give a list")
    several = kinds[-1] is Ellipsis
    if several:
        kinds = kinds[:1] * len(value)
        if not value:
            raise UserError(f"{file}: {key} is empty; give at least one")
    elif len(value) != len(kinds):
        raise UserError(f"{file}: {key} has {len(value)} values; give {len(kinds)}")
    items = tuple(
        _converted(item, kind, file, f"{key}.{i}") for i, (item, kind) in enumerate(zip(value, kinds, strict=True))
    )
    if several and len(set(items)) < len(items):
        raise UserError(f"{file}: {key} lists a value twice; list each once")
    if several and (alike := printed_alike(items)):
        raise UserError(f"{file}: {key} lists {alike[0]!r} and {alike[1]!r}, which print alike; keep one of the two")
    return items
