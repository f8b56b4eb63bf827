"""Wrong settings are refused when the study is loaded: in one line with file, key and remedy, never later."""

import copy
import functools
import re
import shutil
from pathlib import Path

import pytest
import yaml
from projects import GONE, ROOT, run
from refusals import CLASSES, CONFIG, SCALE, STUDY
from test_config import copy_configuration

from sharpness.cli import main
from sharpness.config import check_config, load_config
from sharpness.errors import UserError
from sharpness.fit import check_device
from sharpness.scales import scale_file
from sharpness.study import load_study


class Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


# A line names another file than the one that was changed where that asks for what is not there any more.
OTHERS = ("config/scales/: unknown scale", "config/claims.yaml: F", "workflow/report/sections/")
OUTCOMES = dict.fromkeys(["refused at load", "not refused", "ended in a traceback"], 0)
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
        return yaml.dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False).encode()
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
    study = load_study(config["scale"], theory=True)
    check_device(config["device"], study.settings, scale_file(study.scale))


def refusal(project: Path, file: str, change: object) -> str:
    """The line with which a change of a file is refused; OUTCOMES counts what became of it."""
    path = project / file
    original = path.read_bytes()
    content = changed(file, change)
    try:
        path.unlink() if content is None else path.write_bytes(content)
        load()
    except UserError as error:
        OUTCOMES["refused at load"] += 1
        return str(error)
    except Exception:
        OUTCOMES["ended in a traceback"] += 1
        raise
    else:
        OUTCOMES["not refused"] += 1
        raise AssertionError("it loads")
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(("file", "change", "words"), CASES)
def test_a_wrong_setting_is_refused_in_one_line(project, file, change, words):
    line = refusal(project, file, change)
    assert words in line
    assert file in line or line.startswith(OTHERS)
    assert REMEDY.search(line)
    assert "\n" not in line
    assert len(line) < 600


def test_a_precision_that_the_device_lacks_is_refused():
    with pytest.raises(UserError) as refused:
        check_device("cpu", {"precision": "tf32"}, SCALE)
    assert str(refused.value) == f"{SCALE}: precision is tf32, which is CUDA's, but device is cpu; choose fp32 or bf16"
    check_device("auto", {"precision": "tf32"}, SCALE)


def test_the_page_says_how_many_were_tried(capsys):
    """The count stands in docs/reliability.md, by class, and is printed."""
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \| +(\d+) \|$", page, re.MULTILINE))
    counts = {name: len(cases) for name, cases in CLASSES.items()}
    with capsys.disabled():
        print("\nwrong settings:", ", ".join(f"{count} {outcome}" for outcome, count in OUTCOMES.items()))
    assert {name: int(rows[name]) for name in counts} == counts
    assert int(rows["**all**"]) == len(CASES) >= 150


REAL = [
    (SCALE, {"networks.wide_resnet.depth": 11}, "networks.wide_resnet: depth: 11 is outside its range"),
    (STUDY, {"methods.asam.title": "SAM"}, "methods.sam and methods.asam have one title"),
    (CONFIG, {"data_dir": "{x}"}, "data_dir: '{x}' has a brace, which Snakemake fills in; give a path without"),
]


@pytest.mark.pipeline
@pytest.mark.parametrize(("file", "change", "words"), REAL)
def test_snakemake_and_every_verb_refuse_by_the_same_line(tmp_path, monkeypatch, capsys, file, change, words):
    folder = copy_configuration(tmp_path)
    for name in ("Snakefile", "workflow/rules", "workflow/report/workflow.rst", "src", "profiles"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    (folder / file).write_bytes(changed(file, change))

    dry = run(folder, "snakemake", "--dry-run", "--cores", "1")
    assert dry.returncode == 1
    assert "Traceback" not in dry.stdout
    assert sum(words in line for line in dry.stdout.splitlines()) == 1

    shutil.rmtree(folder / "src")  # of another copy of the code the command would say so first
    monkeypatch.chdir(folder)
    verbs = [["train", "--run", "any"], ["data"], ["estimate"], ["work", "--minutes", "1"]]
    if file != CONFIG:
        verbs += [["compute", "--job", "any"], ["runs"], ["table", "table1"], ["figure", "figure1"], ["claims"]]
        verbs += [["report"], ["verify"]]
    for verb, *options in verbs:
        assert main([verb, "--scale", "laptop", *options]) == 1
        assert words in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} <= {
        ".snakemake",
        "Snakefile",
        "config",
        "profiles",
        "src",
        "workflow",
    }
