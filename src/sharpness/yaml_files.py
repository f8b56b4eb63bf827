"""Reading YAML: safely, and every value as it is written or not at all.

YAML 1.1, which PyYAML reads, takes 042 for 34, 1:30 for 90, 1_0 for 10, 0x1F for 31 and on for true. Such a value is
refused here. What remains of its types: text, true and false, null, whole numbers and decimal ones.
"""

import re
from pathlib import Path
from typing import ClassVar

import yaml

from sharpness.errors import UserError

_SAFE = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader
_AS_YAML_1_1 = yaml.resolver.Resolver()


class _Loader(_SAFE):
    """A safe loader without dates and merge keys, which are text here, and without a key that is given twice."""

    yaml_implicit_resolvers: ClassVar = {
        first: [
            (tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("bool", "int", "float", "null")
        ]
        for first, resolvers in _SAFE.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is not text", problem_mark=key_node.start_mark)
            if key in mapping:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' is given twice", problem_mark=key_node.start_mark)
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping


# What every reader of YAML takes for the same value.
_PLAIN = re.compile(
    r"""true | false | null | ~ |                         # nothing at all is null, too
        [-+]?(0|[1-9][0-9]*) |
        [-+]?([0-9]+\.[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)? |
        [-+]?\.inf | \.nan |""",
    re.VERBOSE | re.IGNORECASE,
)


def read_yaml(path: Path) -> object:
    """Parse a YAML file.

    Raises:
        UserError: the file is missing, unreadable or not UTF-8, is not valid YAML or has a value that YAML reads as
            another than it is written (with line and column).
    """
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, _Loader):
            _check_event(event)
        return yaml.load(text, _Loader)
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


def _check_event(event: yaml.Event) -> None:
    """Refuse what stands for other values than are written.

    Raises:
        MarkedYAMLError: with the place.
    """
    problem = None
    if isinstance(event, yaml.AliasEvent):  # a few of them can stand for more values than any memory holds
        problem = f"alias *{event.anchor}; write it out"
    elif getattr(event, "tag", None):
        problem = f"tag {event.tag.replace('tag:yaml.org,2002:', '!!')}; write the value without it"
    elif isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _PLAIN.fullmatch(event.value) is None:
        kind = _AS_YAML_1_1.resolve(yaml.ScalarNode, event.value, (True, False)).rpartition(":")[2]
        if kind in ("bool", "int", "float"):
            read = yaml.safe_load(event.value)
            problem = f"{event.value} is read as {str(read).lower()}; write that, or '{event.value}' in quotes for text"
    if problem:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
