"""Write config/README.md, which explains every key of config/, from the descriptions in the schemas."""

from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "workflow/schemas"
FILES = {
    "config.yaml": "config",
    "study.yaml": "study",
    "scales/*.yaml": "scale",
    "claims.yaml": "claims",
    "published.yaml": "published",
}
INTRODUCTION = """\
# config/

The study as data. Everything here is checked before the first step: what is unknown, out of range or not computed is
refused in a line that names file, key and remedy. A dot is a level of the file, `<name>` is a name of your choice or of
what the key refers to, and `[]` stands for each item of a list. What is required is so where the level above is there.
How to add a network, a data set, a figure and the like: [docs/extending.md](../docs/extending.md).

<!-- Made from workflow/schemas/ by `make docs`; edit the descriptions there. -->
"""
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def main() -> None:
    (ROOT / "config/README.md").write_text(text(), encoding="utf-8")


def text() -> str:
    """The page: for each file what it is, and a table of its keys."""
    sections = [INTRODUCTION]
    for file, name in FILES.items():
        schema = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))
        rows = [
            f"| `{key}` | {values(value, schema)}{'; required' if required else ''} | {value['description']} |"
            for key, value, required in keys(schema, schema)
        ]
        sections.append(
            "\n".join(
                [f"## {file}\n", f"{schema['description']}\n", "| key | value | meaning |", "|---|---|---|", *rows, ""]
            )
        )
    return "\n".join(sections)


def keys(value: dict, schema: dict, above: str = "") -> Iterator[tuple[str, dict, bool]]:
    """Every key below a value of a schema: its dotted name, its own part of the schema, and whether it is required."""
    if "items" in value:
        yield from keys(resolved(value["items"], schema), schema, f"{above}[]")
    start = f"{above}." if above else ""
    for name, inner in value.get("properties", {}).items():
        yield start + name, resolved(inner, schema), name in value.get("required", [])
        yield from keys(resolved(inner, schema), schema, start + name)
    if isinstance(inner := value.get("additionalProperties"), dict):
        name = f"{start}<{inner['x-name']}>"
        yield name, resolved(inner, schema), False
        yield from keys(resolved(inner, schema), schema, name)


def resolved(value: dict, schema: dict) -> dict:
    """A part of a schema, with what it refers to taken in."""
    if "$ref" not in value:
        return value
    return {**schema["$defs"][value["$ref"].rpartition("/")[2]], **value}


def values(value: dict, schema: dict) -> str:
    """What may stand there, in a few words."""
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        return " or ".join(values(choice, schema) for choice in value["anyOf"])
    kinds = value["type"] if isinstance(value["type"], list) else [value["type"]]
    return " or ".join(plain(kind, value, schema) for kind in kinds)


def plain(kind: str, value: dict, schema: dict) -> str:
    """A type of JSON Schema in words, with its bounds."""
    match kind:
        case "object":
            return "keys"
        case "array":
            inner = values(resolved(value.get("items", {}), schema), schema)
            return "list" if inner == "keys" else f"list of: {inner}"
        case "string":
            return "text"
        case "boolean":
            return "`true` or `false`"
    bounds = [form.format(value[name]) for name, form in BOUNDS.items() if name in value]
    return " ".join(["whole number" if kind == "integer" else "number", " and ".join(bounds)]).strip()


if __name__ == "__main__":
    main()
