"""The JSON files that the project keeps beside its results: what each kind must have, and that nobody changed it since.

Each has a seal, the SHA-256 of its other content, so that a file which was edited or damaged is noticed by itself.
"""

import hashlib
import json
from pathlib import Path

from jsonschema import Draft202012Validator

from sharpness import files

COUNT = {"type": "integer", "minimum": 0}
AMOUNT = {"type": "number", "minimum": 0, "maximum": 1e300}
TEXT = {"type": "string"}
SHA256 = {"type": "string", "pattern": r"\A[0-9a-f]{64}\Z"}
HASHES = {"type": "object", "additionalProperties": SHA256}
SCALAR = {"type": ["string", "number", "boolean", "null"]}


def _object(required: dict, **more: object) -> dict:
    return {"type": "object", "required": list(required), "properties": required, **more}


COST = _object(dict.fromkeys(["seconds", "cpu_seconds", "peak_memory_mb", "peak_gpu_memory_mb"], AMOUNT))
ENVIRONMENT = {
    "versions": {"type": "object", "additionalProperties": TEXT},
    "system": TEXT,
    "processor": TEXT,
    "device": TEXT,
}
COMMIT = {"commit": {"type": ["string", "null"]}, "dirty": {"type": ["boolean", "null"]}}
STATUS = {"enum": ["completed", "diverged"]}

RUN = _object(
    {
        "id": TEXT,
        "kind": TEXT,
        "spec": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [SCALAR, {"type": "array", "items": {"type": [*SCALAR["type"], "array"]}}]
            },
        },
        "semantics": COUNT,
        "status": STATUS,
        "provenance": _object(COMMIT | ENVIRONMENT),
        "cost": COST,
        "sha256": SHA256,
    },
    **{"if": {"properties": {"kind": {"const": "training"}}}},
    then={"required": ["epochs", "classes", "data_sha256"]},
)
RUN["properties"] |= {
    "epochs": COUNT,
    "classes": {"type": "integer", "minimum": 2},
    "data_sha256": SHA256,
    "seal": SHA256,
}

ARTIFACT = _object({"label": TEXT, "caption": TEXT, "facts": {"type": "object"}, "jobs": HASHES, "files": HASHES})
ARTIFACT["oneOf"] = [{"required": ["body"]}, {"required": ["hover"]}]
ARTIFACT["properties"] |= {"body": TEXT, "hover": {"type": "array", "items": {"type": "object"}}}

TABLE = _object({"files": HASHES})

MANIFEST = _object(
    {
        "scale": TEXT,
        "config": _object({"path": TEXT, "sha256": SHA256}),
        **COMMIT,
        "environments": {"type": "array", "items": _object(ENVIRONMENT)},
        "jobs": {
            "type": "object",
            "additionalProperties": _object(
                {"files": HASHES, "status": STATUS, **COMMIT, "environment": COUNT, "cost": COST}
            ),
        },
        "artifacts": {
            "type": "object",
            "additionalProperties": _object({"files": HASHES, "jobs": {"type": "array", "items": TEXT}, "cost": COST}),
        },
        "cost": COST,
        "report": _object({"files": HASHES}),
    }
)

PREPARED = _object(
    {
        "title": TEXT,
        "preparation": COUNT,
        "fingerprint": {"type": ["string", "null"]},
        "classes": {"type": "array", "items": TEXT, "minItems": 2},
        "mean": {"type": "array", "items": AMOUNT, "minItems": 1},
        "std": {"type": "array", "items": AMOUNT, "minItems": 1},
        "sha256": SHA256,
    }
)

# Of a published scale. Before all its runs are finished it has no findings, and no file that has them.
PUBLISHED = _object(
    {
        "scale": TEXT,
        "title": TEXT,
        "data": TEXT,
        "epochs": COUNT,
        "seeds": {"type": "array", "items": COUNT},
        "level": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "runs": COUNT,
        "finished": COUNT,
        "commits": {"type": "array", "items": TEXT},
        "cost": {"anyOf": [COST, {"type": "null"}]},
        "jobs": HASHES,
        "pictures": {"type": "array", "items": _object({"path": TEXT, "title": TEXT, "sha256": SHA256})},
    }
)
PUBLISHED["properties"]["files"] = HASHES

# What an unfinished run shows; before its first epoch is complete it has no accuracy.
PROGRESS = _object(
    {"epoch": COUNT, "seconds": AMOUNT, "test_accuracy": {"type": ["number", "null"], "minimum": 0, "maximum": 1}},
    additionalProperties=False,
    **{"if": {"properties": {"epoch": {"minimum": 1}}}},
    then={"properties": {"test_accuracy": {"type": "number"}}},
)


def write(path: Path, value: dict) -> None:
    """Write a record atomically, with its seal."""
    files.write_json(path, {**value, "seal": _seal(value)})


def parse(content: bytes, schema: dict, sealed: bool = True) -> dict:
    """A record from the content of its file.

    Args:
        content: the file's bytes.
        schema: of its kind, one of this module's.
        sealed: whether it must have a seal; one that it has must be right in any case.

    Raises:
        ValueError: why it is no record of that kind, in a few words.
    """
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("cut short or not JSON") from None
    error = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
    if error is not None:
        key = ".".join(map(str, error.absolute_path))
        raise ValueError(f"without what belongs in it ({error.validator} of {key or 'the file'} does not hold)")
    if "seal" in value or sealed:
        rest = {key: child for key, child in value.items() if key != "seal"}
        if value.get("seal") != _seal(rest):
            raise ValueError("changed since it was written")
    return value


def _seal(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
