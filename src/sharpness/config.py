"""Reading the YAML files of config/: safely, closed against unknown keys, every fault reported in one line."""

import math
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from sharpness.errors import UserError, suggestion
from sharpness.paths import shipped

CONFIG_SCHEMA = Path("workflow/schemas/config.schema.yaml")

# No file of config/ nests deeper than half of this.
DEEPEST = 20


class _UniqueKeyLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in mapping:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping


# JSON Schema counts 2.0 among the integers; as a number of epochs it would be another spec than 2, and fit no range.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def read_yaml(path: Path) -> object:
    """Parse a YAML file.

    Raises:
        UserError: the file is missing, unreadable or not UTF-8, or is not valid YAML (with line and column).
    """
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, _UniqueKeyLoader):
            if isinstance(event, yaml.AliasEvent):  # a few of them can stand for more values than any memory holds
                raise yaml.MarkedYAMLError(
                    problem=f"alias *{event.anchor}; write it out", problem_mark=event.start_mark
                )
        return yaml.load(text, _UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this from the project's root, where config/ is") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}{place}: not valid YAML: {error.problem or error.context}") from None
    except Exception as error:  # a value that does not fit its tag raises whatever its constructor meets
        raise UserError(f"{path}: not valid YAML: {error}") from None


def load_config(root: Path = Path()) -> dict:
    """config/config.yaml, checked."""
    return read_config(root / "config/config.yaml", shipped(CONFIG_SCHEMA, root))


def check_config(config: dict, root: Path = Path()) -> None:
    """Check the configuration that Snakemake has put together from config/config.yaml and its command line.

    Raises:
        UserError: the first fault found.
    """
    check(config, shipped(CONFIG_SCHEMA, root), "config (config/config.yaml and --config)")


def read_config(path: Path, schema: Path) -> dict:
    """Parse a YAML file and check it against a JSON schema (written in YAML).

    Raises:
        UserError: as `read_yaml`, or the first fault that the schema finds, with its file, key and remedy.
    """
    value = read_yaml(path)
    check(value, schema, str(path))
    return value


def check(value: object, schema: Path, where: str) -> None:
    """Check a parsed value against a JSON schema; `where` names its origin in the message.

    Raises:
        UserError: the first fault found.
    """
    _check_values(value, where, [])
    errors = sorted(_Validator(read_yaml(schema)).iter_errors(value), key=_rank)
    if errors:
        raise UserError(_describe(errors[0], where))


def _rank(error: ValidationError) -> tuple:
    """Faults in the order of their keys; a rule that depends on another value comes after what is wrong with that."""
    return not {"then", "else"}.isdisjoint(error.absolute_schema_path), [str(key) for key in error.absolute_path]


def _check_values(value: object, where: str, path: list) -> None:
    """Refuse what a schema cannot: numbers that are not finite, and a depth that exhausts the stack."""
    if len(path) > DEEPEST:
        raise UserError(f"{where}: {_dotted(path[:3])} is nested more than {DEEPEST} levels deep; write it flat")
    if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
        raise UserError(f"{where}: {_dotted(path)} is not a finite number; give one (for p = ∞ write the word inf)")
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        _check_values(child, where, [*path, key])


def _dotted(path: list) -> str:
    return ".".join(map(str, path)) or "the file"


def _describe(error: ValidationError, where: str) -> str:
    """One line for a schema fault: where it is, what is wrong, what to write instead."""
    key, value, rule = _dotted(list(error.absolute_path)), error.instance, error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        hint = suggestion(value, rule) if error.validator == "enum" else f"names match {rule}"
        return f"{where}: unknown key '{value}' in {key}; {hint}"
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            name = next(name for name in value if name not in known)
            return f"{where}: unknown key '{name}' in {key}; {suggestion(name, known)}"
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
        case "minimum":
            return f"{where}: {key} is {value}; it must be at least {rule}"
        case "exclusiveMinimum":
            return f"{where}: {key} is {value}; it must be more than {rule}"
        case "maximum":
            return f"{where}: {key} is {value}; it must be at most {rule}"
        case "exclusiveMaximum":
            return f"{where}: {key} is {value}; it must be less than {rule}"
        case "uniqueItems":
            twice = next(item for index, item in enumerate(value) if item in value[:index])
            return f"{where}: {key} lists {_show(twice)} twice; list it once"
        case "minItems" | "minProperties" | "minLength":
            return f"{where}: {key} is empty; give at least {rule}"
        case "pattern":
            return f"{where}: {key} is {_show(value)}; it must match {rule}"
        case "anyOf":
            return f"{where}: {key} is {_show(value)}; give a number of at least 1, or the word inf"
        case "oneOf":
            return f"{where}: {key}: give one of {' and '.join(name for each in rule for name in each['required'])}"
        case "maxProperties":
            return f"{where}: {key} is an sgd method, which has no ascent step; keep only title and optimizer"
    return f"{where}: {key}: {error.message}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
