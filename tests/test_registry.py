"""What is registered by its file's name: found without a list, refused with a suggestion, its title read unimported."""

import subprocess
import sys
from pathlib import Path

import pytest

from sharpness import registry
from sharpness.errors import UserError

SOURCE = Path(__file__).parents[1] / "src/sharpness"
PACKAGES = ("networks", "datasets", "problems", "evidence.artifacts", "evidence.quantities")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_registered_and_loads(package):
    names = registry.names(package)
    assert names == sorted(path.stem for path in SOURCE.joinpath(*package.split(".")).glob("[!_]*.py"))
    for name in names:
        assert registry.load(package, name, "a test").__name__ == f"sharpness.{package}.{name}"


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        ("networks", "vgg19", "unknown network 'vgg19'; did you mean 'vgg'?"),
        ("datasets", "digit", "unknown dataset 'digit'; did you mean 'digits'?"),
        ("datasets", "__init__", "unknown dataset '__init__'; choose from: cifar10, digits, image_folder"),
        ("networks", "../networks/vgg", "unknown network '../networks/vgg'; "),
        ("evidence.artifacts", "ball", "unknown artifact 'ball'; did you mean 'balls'?"),
        ("evidence.quantities", "loss_rato", "unknown quantity 'loss_rato'; did you mean 'loss_ratio'?"),
    ],
)
def test_a_name_without_a_file_is_refused(package, name, message):
    for function in (registry.load, registry.check):
        with pytest.raises(UserError) as refused:
            function(package, name, "config/study.yaml: a.key")
        assert str(refused.value).startswith(f"config/study.yaml: a.key: {message}")


def test_constants_are_literals_and_are_read_without_an_import():
    code = (
        "import sys; from sharpness import registry; "
        "print(registry.constants('networks', 'vgg')['TITLE']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "VGG\n"), done.stderr


@pytest.mark.parametrize("package", ["networks", "datasets"])
def test_every_network_and_data_set_has_a_title(package):
    for name in registry.names(package):
        assert registry.constants(package, name)["TITLE"], name
        assert "CITATION" in registry.constants(package, name), name
