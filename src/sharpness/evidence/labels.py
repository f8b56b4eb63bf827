"""What readers see in place of the study's own names."""

from sharpness.errors import UserError
from sharpness.study import Artifact, Study, network_arguments

NETWORK_TITLES = {"resnet": "ResNet", "wide_resnet": "WideResNet", "pyramidnet": "PyramidNet", "vgg": "VGG"}
SENSING_TITLES = {"gd": "Gradient descent", "sam": "SAM", "usam": "USAM"}


def network(name: str) -> str:
    return NETWORK_TITLES.get(name, name)


def sized_network(spec: dict) -> str:
    """A run's network with the size arguments that it was given, such as "WideResNet (depth 22, width 8)"."""
    sizes = ", ".join(f"{key} {value}" for key, value in network_arguments(spec).items())
    return network(spec["network"]) + (f" ({sizes})" if sizes else "")


def method(study: Study, name: str, rho: float) -> str:
    """A training method and its radius (NaN: it has none), such as "SAM, ρ = 0.05"."""
    title = study.methods[name]["title"]
    return f"{title}, ρ = {rho:g}" if rho == rho else title


def training(study: Study) -> str:
    """What every training run of the scale has in common."""
    return f"{study.settings['dataset']['title']}, {study.settings['title']}, {study.settings['epochs']} epochs"


def sensing(study: Study) -> str:
    """What every trajectory of the matrix sensing sweep has in common, in the report's letters."""
    problem = study.sensing
    return (
        f"d = {problem['dimension']}, r = {problem['rank']}, m = {problem['measurements']}, "
        f"η = {problem['learning_rate']:g}, {study.settings['title']}"
    )


def only_network(study: Study, artifact: Artifact) -> dict:
    """The spec of an artifact's first run, for an artifact that shows one network.

    Raises:
        UserError: its runs are of several networks.
    """
    specs = [study.runs[run_id] for run_id in artifact.run_ids]
    names = list(dict.fromkeys(spec["network"] for spec in specs))
    if len(names) > 1:
        raise UserError(
            f"config/study.yaml: artifacts.{artifact.name} shows one network, but its experiment trains "
            f"{', '.join(names)}; choose one with its key network"
        )
    return specs[0]
