"""Where jsonschema is missing, let config/ be read unchecked: import this first.

For gpu-check alone, on a machine that is there for minutes and on which nothing of the project is installed.
"""

import importlib.util
import sys
import types


class Unchecked:
    """A validator that finds nothing wrong."""

    TYPE_CHECKER = types.SimpleNamespace(redefine=lambda *arguments: None)

    def __init__(self, schema: dict):
        pass

    def iter_errors(self, value: object) -> tuple:
        return ()


if importlib.util.find_spec("jsonschema") is None:
    sys.modules["jsonschema"] = module = types.ModuleType("jsonschema")
    module.Draft202012Validator = Unchecked
    module.ValidationError = ValueError
    module.validators = types.SimpleNamespace(extend=lambda validator, **changes: validator)
