"""config/README.md explains every key of config/, as the schemas have them."""

import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GENERATOR = runpy.run_path(str(ROOT / "docs/generate/config_readme.py"))
SCHEMAS = sorted((ROOT / "workflow/schemas").glob("*.yaml"))


def test_the_page_is_what_the_schemas_give():
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    assert page == GENERATOR["text"](), "run `make docs`"


def test_every_schema_has_its_section():
    assert sorted(f"{name}.schema.yaml" for name in GENERATOR["FILES"].values()) == [file.name for file in SCHEMAS]


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_every_key_says_what_it_is(file):
    schema = yaml.safe_load(file.read_text(encoding="utf-8"))
    found = {key: value for key, value, _ in GENERATOR["keys"](schema, schema)}
    assert found
    assert [key for key, value in found.items() if not value.get("description", "").endswith(".")] == []
