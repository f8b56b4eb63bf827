"""Faults in config/: one line that names the file, the key and the remedy; nothing written, never a traceback."""

import contextlib
import copy
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpness.cli import main
from sharpness.config import load_config
from sharpness.errors import UserError
from sharpness.study import load_study
from sharpness.yaml_files import read_yaml

ROOT = Path(__file__).parents[1]
CONFIG, STUDY, CLAIMS, PUBLISHED = (f"config/{name}.yaml" for name in ("config", "study", "claims", "published"))
SCALE, EXTENDING = "config/scales/laptop.yaml", "config/scales/smoke.yaml"  # smoke extends laptop


def copy_configuration(folder: Path) -> Path:
    shutil.copytree(ROOT / "config", folder / "config")
    for name in ("schemas", "report"):
        shutil.copytree(ROOT / "workflow" / name, folder / "workflow" / name)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration, as the working directory."""
    monkeypatch.chdir(copy_configuration(tmp_path))
    return tmp_path


def refusal(project: Path, capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The line on standard error with which the command refuses; it has left every file as it was, and no other."""
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert main(list(arguments)) == 1
    line = capsys.readouterr().err
    assert line.startswith("sharpness: error: ")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    return line


def put(*keys: str | int, value: object):
    """A change of a parsed file: the value at these keys."""

    def change(settings) -> None:
        for key in keys[:-1]:
            settings = settings[key]
        settings[keys[-1]] = value

    return change


def test_the_configuration_as_it_stands_is_accepted(project):
    assert load_config()
    assert load_study("smoke").runs


RHO = ("experiments", "radius", "runs", 0, "rho")
FAULTS = {
    # name: (file, change, what the line says)
    "unknown key": (CONFIG, put("devise", value="cpu"), "unknown key 'devise' in the file; did you mean 'device'"),
    "unknown training key": (STUDY, put("training", "weight_decy", value=0.1), "unknown key 'weight_decy' in training"),
    "unknown scale key": (SCALE, put("epoch", value=3), "unknown key 'epoch' in the file; did you mean 'epochs'"),
    "unknown data set key": (SCALE, put("dataset", "flipp", value=True), "in dataset; did you mean 'flip'"),
    "missing key": (SCALE, lambda scale: scale.pop("epochs"), "the file lacks the key 'epochs'; add it"),
    "wrong type": (SCALE, put("epochs", value="many"), "epochs must be of type integer, not 'many'"),
    "a float of epochs": (SCALE, put("epochs", value=2.0), "epochs must be of type integer, not 2.0"),
    "5e-4 is text": (STUDY, put("training", "weight_decay", value="5e-4"), "write 0.0005 with a decimal point"),
    "negative rho": (STUDY, put(*RHO, 0, value=-0.1), "experiments.radius.runs.0.rho.0 is -0.1; it must be at least 0"),
    "infinite rho": (STUDY, put(*RHO, 0, value=float("inf")), "rho.0 is not a finite number"),
    "rho beyond floats": (STUDY, put(*RHO, 0, value=10**400), "rho.0 is not a finite number"),
    "p below 1": (STUDY, put("methods", "sam", "p", value=0.5), "methods.sam.p is 0.5; give a number of at least 1"),
    "no epochs": (SCALE, put("epochs", value=0), "epochs is 0; it must be at least 1"),
    "no batch": (SCALE, put("batch_size", value=0), "batch_size is 0; it must be at least 2"),
    "duplicate seed": (SCALE, put("seeds", value=[1, 2, 1]), "seeds lists 1 twice; list it once"),
    "no seeds": (SCALE, put("seeds", value=[]), "seeds is empty; give at least 1"),
    "unknown network": (SCALE, put("networks", "vgg19", value={}),
                        "networks: unknown network 'vgg19'; did you mean 'vgg'?"),
    "unknown optimizer": (STUDY, put("methods", "sam", "optimizer", value="adam"), "methods.sam.optimizer is 'adam'"),
    "unknown data set": (SCALE, put("dataset", "name", value="cifar"),
                         "dataset.name: unknown dataset 'cifar'; did you mean 'cifar10'?"),
    "folder of no image folder": (SCALE, put("dataset", "folder", value="x"),
                                  "unknown key 'folder' in dataset; choose from: name, title, crop_padding"),
    "image folder without folder": (SCALE, put("dataset", "name", value="image_folder"),
                                    "dataset lacks the key 'folder'; add it"),
    "misspelt subset": (SCALE, put("dataset", "training_image", value=9), "dataset; did you mean 'training_images'?"),
    "extends no text": (SCALE, put("extends", value=3), "extends must be of type string, not 3"),
    "unknown device": (CONFIG, put("device", value="gpu"), "device is 'gpu'; choose from: auto, cpu, cuda"),
    "no slots": (CONFIG, put("runs_per_gpu", value=0), "runs_per_gpu is 0; it must be at least 1"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "change", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_value_is_refused_in_one_line(project, capsys, file, change, message):
    settings = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    change(settings)
    Path(file).write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    line = refusal(project, capsys, "train", "--scale", "laptop", "--run", "any")
    assert f"{file}: " in line
    assert message in line


BROKEN = {
    # name: (content, what the line says)
    "unclosed": (b"scale: [smoke\ndevice: cpu\n", "config/config.yaml, line 2, column 7: not valid YAML"),
    "tab": (b"scale: smoke\n\tdevice: cpu\n", "config/config.yaml, line 2, column 1: not valid YAML"),
    "twice": (b"scale: smoke\nscale: paper\n", "line 2, column 1: not valid YAML: key 'scale' is given twice"),
    "key of no text": (b"1: smoke\n", "line 1, column 1: not valid YAML: key 1 is not text"),
    "alias": (b"scale: &a smoke\ndevice: *a\n", "line 2, column 9: not valid YAML: alias *a; write it out"),
    "bomb": (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "line 2, column 8: not valid YAML: alias *a"),
    "code": (b"scale: !!python/object/apply:os.system [touch PWNED]\n", "line 1, column 8: not valid YAML"),
    "tag": (b"scale: !!timestamp soon\n", "config/config.yaml, line 1, column 8: not valid YAML: tag !!timestamp"),
    "two documents": (b"scale: smoke\n---\nscale: paper\n", "line 2, column 1: not valid YAML"),
    "not UTF-8": (b"scale: \xff\n", "config/config.yaml: not UTF-8 text (byte 7); save it as UTF-8"),
    "control character": (b"scale: \x00\n", "config/config.yaml: not valid YAML"),
    "deep": (b"scale: " + b"[" * 40 + b"]" * 40, "nested more than 20 levels deep"),
    "very deep": (b"scale: " + b"[" * 10_000, "not valid YAML"),
    "empty": (b"", "the file must be of type object, not None"),
    "a list": (b"- scale\n", "the file must be of type object, not ['scale']"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_its_place(project, capsys, content, message):
    Path(CONFIG).write_bytes(content)
    assert message in refusal(project, capsys, "data", "--scale", "smoke")


@pytest.mark.parametrize("file", [CONFIG, STUDY])
def test_a_missing_or_unreadable_file_is_refused(project, capsys, file):
    Path(file).unlink()
    missing = refusal(project, capsys, "train", "--scale", "smoke", "--run", "any")
    assert f"{file}: no such file; run this from the project's root" in missing
    Path(file).mkdir()
    unreadable = refusal(project, capsys, "train", "--scale", "smoke", "--run", "any")
    assert f"{file}: cannot be read (Is a directory)" in unreadable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--scale", "smok", "--run", "any"], "config/scales/: unknown scale 'smok'; did you mean 'smoke'?"),
        (["data", "--scale", "../../etc"], "config/scales/: unknown scale '../../etc'; choose from"),
        (["data", "--scale", "config\n/x"], "unknown scale 'config /x'"),
        (["train", "--scale", "smoke", "--run", "../runs/x"], "scale smoke: unknown run '../runs/x'"),
        (["train", "--scale", "smoke", "--run", ""], "scale smoke: unknown run ''"),
        (["compute", "--scale", "smoke", "--job", "../x"], "scale smoke: unknown problem '../x'; choose from: diag"),
        (["train", "--scale", "smoke", "--run", "any", "--runs-per-gpu", "0"], "runs_per_gpu is 0; it must be"),
        (["data", "--scale", "smoke", "--data-dir", ""], "data_dir is empty"),
        (["table", "table9", "--scale", "smoke"], "config/study.yaml: unknown artifact 'table9'; did you mean 'table"),
        (["figure", "../figure1", "--scale", "smoke"], "config/study.yaml: unknown artifact '../figure1'"),
    ],
)  # fmt: skip
def test_a_faulty_argument_is_refused_in_one_line(project, capsys, arguments, message):
    assert message in refusal(project, capsys, *arguments)


def test_outside_the_project_every_verb_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    verbs = [["train", "--run", "any"], ["compute", "--job", "any"], ["table", "table1"], ["figure", "figure1"]]
    verbs += [["data"], ["estimate"], ["runs"], ["claims"], ["report"], ["verify"]]
    for verb in verbs:
        line = refusal(tmp_path, capsys, verb[0], "--scale", "smoke", *verb[1:])
        assert "no such file; run this from the project's root" in line


FILES = [CONFIG, STUDY, SCALE, EXTENDING, CLAIMS, PUBLISHED]

# Documents near the real ones: each is a real file in which some values, keys or entries are replaced or removed.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([10**400, 10**30, 10**9, 1e308, 1e200, 1e39, -1e-320, -0.0, 0.0, 1.0, float("inf"), float("nan")])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["5e-4", "inf", "sam", "sgd", "radius", "wide_resnet", "image_folder", "fisher", "none", "gd", "monge"]
    )
    | st.sampled_from(["-x", "{x}", "x\n", "a\0b", "%20", "~nobody", "../x", "x" * 300, "042", " ", "Ω̂"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of everything in a parsed document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@st.composite
def mutations(draw, document: object) -> object:
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document)))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "remove", "rename"]))
        if action == "replace":
            parent[path[-1]] = draw(VALUES)
        elif action == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = parent.pop(path[-1])
    return document


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_configuration(tmp_path_factory.mktemp("fuzzed"))


def loads_or_refuses(project: Path) -> None:
    refusal = None
    try:
        load_config(project)
        load_study("smoke", project)
    except UserError as error:
        refusal = str(error)
    named = (*FILES, "config/scales/", "workflow/report/")  # a section may show what is not there any more
    assert refusal is None or any(file in refusal for file in named)
    assert refusal is None or len(refusal.splitlines()) == 1


@pytest.mark.parametrize("file", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_mutated_configuration_loads_or_is_refused_in_one_line(fuzzed, file, data):
    original = (ROOT / file).read_text(encoding="utf-8")
    document = data.draw(mutations(yaml.safe_load(original)))
    (fuzzed / file).write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        loads_or_refuses(fuzzed)
    finally:
        (fuzzed / file).write_text(original, encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_with_bytes_changed_loads_or_is_refused_in_one_line(fuzzed, file, data):
    original = (ROOT / file).read_bytes()
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(start + 40, len(original))))
    inserted = data.draw(
        st.binary(max_size=4) | st.sampled_from([b": ", b"- ", b"[", b"{", b"&a ", b"*a", b"!!set ", b"\n"])
    )
    (fuzzed / file).write_bytes(original[:start] + inserted + original[end:])
    try:
        loads_or_refuses(fuzzed)
    finally:
        (fuzzed / file).write_bytes(original)


@given(content=st.binary(max_size=60) | st.text(alphabet="ab01:-[]{}&*!|>'\"\n #?,.~", max_size=60).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_parse_or_are_refused(fuzzed, content):
    file = fuzzed / "any.yaml"
    file.write_bytes(content)
    with contextlib.suppress(UserError):
        read_yaml(file)
