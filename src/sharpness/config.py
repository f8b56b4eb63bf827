"""The YAML files of config/ against their schemas: closed against unknown keys, every fault reported in one line."""

import functools
import math
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from jsonschema import Draft202012Validator, ValidationError, validators

from sharpness import paths
from sharpness.errors import UserError, setting, settings_of, suggestion
from sharpness.paths import shipped
from sharpness.yaml_files import read_yaml

CONFIG_SCHEMA = Path("workflow/schemas/config.schema.yaml")

# No file of config/ nests deeper than half of this.
DEEPEST = 20

BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}

# JSON Schema counts 2.0 among the integers; as a number of epochs it would be another spec than 2, and fit no range.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def load_config(root: Path = Path()) -> dict:
    """config/config.yaml, checked, with ~ in its data_dir expanded."""
    file = root / "config/config.yaml"
    return _checked_config(read_yaml(file), root, str(file))


def put_over(config: dict, given: dict) -> dict:
    """The configuration with the values that Snakemake's --config gives, to which true and false are text."""
    words = {"true": True, "false": False}
    return config | {key: words.get(value, value) if isinstance(value, str) else value for key, value in given.items()}


def check_config(config: dict, root: Path = Path()) -> dict:
    """As load_config, of the configuration that the command line's options, or Snakemake's, have been put over.

    Raises:
        UserError: the first fault found, or the package of its tracker is not installed.
    """
    where = "config (config/config.yaml and --config)"
    checked = _checked_config(config, root, where)
    if (tracker := config["tracking"]) != "none":
        try:
            metadata.version(tracker)
        except metadata.PackageNotFoundError:
            raise UserError(
                f"{where}: tracking: {tracker} is not installed here; pip install 'sharpness[{tracker}]', or none"
            ) from None
    return checked


def _checked_config(config: object, root: Path, where: str) -> dict:
    check(config, shipped(CONFIG_SCHEMA, root), where)
    with settings_of(where), setting("data_dir"):
        return {**config, "data_dir": str(paths.folder(config["data_dir"]))}


def read_config(path: Path, schema: Path) -> dict:
    """Parse a YAML file and check it against a JSON schema (written in YAML).

    Raises:
        UserError: as `read_yaml`, or the first fault that the schema finds, with its file, key and remedy.
    """
    value = read_yaml(path)
    check(value, schema, str(path))
    check_text(value, str(path))
    return value


def check(value: object, schema: Path, where: str) -> None:
    """Check a parsed value against a JSON schema; `where` names its origin in the message.

    Raises:
        UserError: the first fault found.
    """
    _check_values(value, where)
    errors = sorted(_validator(schema.resolve()).iter_errors(value), key=_rank)
    if errors:
        raise UserError(_describe(errors[0], where))


def check_text(value: object, where: str) -> None:
    """Refuse text that no document can show as it is.

    Raises:
        UserError: text, or a key, in a parsed value is of that kind.
    """
    for path, text in _walk(value):
        if not isinstance(text, str):
            continue
        key = f"{where}: {_dotted(path)}"
        odd = next((character for character in text if not character.isprintable()), None)
        if odd is not None:
            raise UserError(
                f"{key} has the character U+{ord(odd):04X}, which does not print; write it in one line without it"
            )
        if text != text.strip():
            raise UserError(f"{key} begins or ends with a blank; remove it")


@functools.cache
def _validator(schema: Path) -> Draft202012Validator:
    return _Validator(read_yaml(schema))


def _rank(error: ValidationError) -> tuple:
    """Faults in the order of their keys; a rule that depends on another value comes after what is wrong with that."""
    return not {"then", "else"}.isdisjoint(error.absolute_schema_path), [str(key) for key in error.absolute_path]


def _check_values(value: object, where: str) -> None:
    """Refuse what a schema cannot: numbers that are not finite, and a depth that exhausts the stack."""
    for path, part in _walk(value):
        if len(path) > DEEPEST:
            raise UserError(f"{where}: {_dotted(path[:3])} is nested more than {DEEPEST} levels deep; write it flat")
        if isinstance(part, int | float) and not abs(part) <= sys.float_info.max:
            raise UserError(f"{where}: {_dotted(path)} is not a finite number; give one (for p = ∞ write the word inf)")
        if part == 0 and str(part).startswith("-"):
            raise UserError(f"{where}: {_dotted(path)} is {part}; write 0")


def _walk(value: object, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """A parsed value and all that it holds, each with its keys from the top."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _walk(child, (*path, key))


def _dotted(path: Iterable) -> str:
    return ".".join(map(str, path)) or "the file"


def _describe(error: ValidationError, where: str) -> str:
    """One line for a schema fault: where it is, what is wrong, what to write instead."""
    key, value, rule = _dotted(error.absolute_path), error.instance, error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        hint = suggestion(value, rule) if error.validator == "enum" else f"names match {_pattern(rule)}"
        return f"{where}: unknown key {_show(value)} in {key}; {hint}"
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            name = next(name for name in value if name not in known)
            return f"{where}: unknown key {_show(name)} in {key}; {suggestion(name, known)}"
        case "required":
            missing = next(name for name in rule if name not in value)
            return f"{where}: {key} lacks the key '{missing}'; add it"
        case "type":
            hint = ""
            if isinstance(value, str) and rule in ("number", "integer") and _is_number(value):
                hint = f"; YAML reads {value} as text: write {float(value)!r} with a decimal point and no quotes"
            return f"{where}: {key} must be of type {rule}, not {_show(value)}{hint}"
        case "enum":
            return f"{where}: {key} is {_show(value)}; choose from: {', '.join(rule)}"
        case bound if bound in BOUNDS:
            return f"{where}: {key} is {value}; it must be {BOUNDS[bound]} {rule}"
        case "uniqueItems":
            twice = next(item for index, item in enumerate(value) if item in value[:index])
            return f"{where}: {key} lists {_show(twice)} twice; list it once"
        case "minItems" | "minProperties" | "minLength":
            return f"{where}: {key} is empty; give at least {rule}"
        case "maxItems":
            return f"{where}: {key} has {len(value)} items; give {rule} at most"
        case "maxLength":
            return f"{where}: {key} has {len(value)} characters; give {rule} at most"
        case "pattern" if rule == r"\S":
            return f"{where}: {key} is blank; give some text"
        case "pattern":
            return f"{where}: {key} is {_show(value)}; it must match {_pattern(rule)}"
        case "anyOf":
            return f"{where}: {key} is {_show(value)}; give a number of at least 1 (and at most 1e6), or the word inf"
        case "oneOf":
            return f"{where}: {key}: give one of {' and '.join(name for each in rule for name in each['required'])}"
        case "dependentRequired":
            return f"{where}: {key}: {' and '.join(rule)} goes with {' and '.join(*rule.values())}; remove it"
    return f"{where}: {key}: {error.message}"


def _pattern(rule: str) -> str:
    """A pattern as people write it: Python's $ would also let a newline follow, so that the schemas have its \\Z."""
    return rule.replace(r"\Z", "$")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
