"""Wrong settings are refused when the study is loaded: in one line with file, key and remedy, never later."""

import copy
import functools
import re
from pathlib import Path

import pytest
import yaml
from projects import GONE, ROOT
from refusals import CLAIMS, CLASSES, CONFIG, PUBLISHED, SCALE, STUDY
from test_config import copy_configuration

from sharpness.config import check_config, load_config
from sharpness.errors import UserError
from sharpness.study import load_study

CASES = [case for cases in CLASSES.values() for case in cases]
# What to do instead is said by one of these.
REMEDY = re.compile(
    "; |did you mean|choose|write|give|add it|must be|keep|let |list |save|match|rename|change|remove|not valid YAML"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    """A copy of the configuration, as the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        folder = copy_configuration(tmp_path_factory.mktemp("refusals"))
        patch.chdir(folder)
        yield folder


@functools.cache
def parsed(file: str) -> dict:
    return yaml.load((ROOT / file).read_text(encoding="utf-8"), yaml.CSafeLoader)


def changed(file: str, change: object) -> bytes | None:
    """The content of a file of config/ after a change, as tests/refusals.py describes it."""
    if isinstance(change, dict):
        document = copy.deepcopy(parsed(file))
        for key, value in change.items():
            put(document, key.split("."), value)
        return yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False).encode()
    if isinstance(change, tuple):
        old, new = change
        text = (ROOT / file).read_text(encoding="utf-8")
        assert old in text
        return text.replace(old, new, 1).encode()
    return change.encode() if isinstance(change, str) else change


def put(place: dict | list, keys: list[str], value: object) -> None:
    """Set, append or remove (GONE) the value at some keys."""
    *parents, last = [int(key) if key.isdecimal() else key for key in keys]
    for parent in parents:
        place = place[parent]
    if value is GONE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value


def load() -> None:
    """What the Snakefile does before it has a rule."""
    config = load_config()
    check_config(config)
    load_study(config["scale"], theory=True)


def refusal(project: Path, file: str, change: object) -> str:
    """The line with which a change of a file is refused."""
    path = project / file
    original = path.read_bytes()
    content = changed(file, change)
    try:
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(UserError) as refused:
            load()
        return str(refused.value)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(("file", "change", "words"), CASES)
def test_a_wrong_setting_is_refused_in_one_line(project, file, change, words):
    line = refusal(project, file, change)
    assert words in line
    assert any(name in line for name in (file, "config/scales/", "workflow/report/sections/", "config/"))
    assert REMEDY.search(line)
    assert "\n" not in line
    assert len(line) < 600
