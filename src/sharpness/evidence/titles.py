"""What readers see in place of the study's own names."""

from sharpness import registry
from sharpness.evidence.formatting import counted
from sharpness.labels import labelled
from sharpness.networks import network_arguments
from sharpness.study import Study

STEPS = {"gd": "Gradient descent", "sam": "SAM", "usam": "USAM"}  # of the toy problems


def network(name: str) -> str:
    return str(registry.constants("networks", name)["TITLE"])


def sized_network(spec: dict) -> str:
    """A run's network with the size arguments that it was given, such as "WideResNet (depth 22, width 8)"."""
    sizes = ", ".join(f"{key} {value}" for key, value in network_arguments(spec).items())
    return network(spec["network"]) + (f" ({sizes})" if sizes else "")


def method(study: Study, name: str, rho: float | None) -> str:
    """A training method and its radius (None or NaN: it has none), such as "SAM, ρ = 0.05"."""
    return labelled(study.methods[name]["title"], rho)


def training(study: Study) -> str:
    """What every training run of the scale has in common."""
    return (
        f"{study.settings['dataset']['title']}, {study.settings['title']}, {counted(study.settings['epochs'], 'epoch')}"
    )
