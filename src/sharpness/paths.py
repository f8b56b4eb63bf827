"""Where everything that the pipeline makes lies, relative to the working directory."""

from pathlib import Path

from sharpness.study import Study, neuron_id, sensing_id

TABLE_SUFFIXES = ("csv", "md", "tex")
FIGURE_SUFFIXES = ("pdf", "png", "svg", "csv")


def results(scale: str) -> Path:
    return Path("results") / scale


def run(scale: str, run_id: str) -> Path:
    """The folder of a training run: history.csv and run.json."""
    return results(scale) / "runs" / run_id


def sensing(scale: str, sensing_id: str) -> Path:
    """The folder of a matrix sensing sweep: losses.csv and run.json."""
    return results(scale) / "sensing" / sensing_id


def neuron(scale: str, neuron_id: str) -> Path:
    """The folder of the single-neuron descents: end_points.csv and run.json."""
    return results(scale) / "neuron" / neuron_id


def sensing_files(study: Study) -> list[Path]:
    """What the matrix sensing sweep leaves."""
    folder = sensing(study.scale, sensing_id(study.sensing))
    return [folder / "losses.csv", folder / "run.json"]


def neuron_files(study: Study) -> list[Path]:
    """What the single-neuron descents leave."""
    folder = neuron(study.scale, neuron_id(study.neuron))
    return [folder / "end_points.csv", folder / "run.json"]


def checkpoint(scale: str, run_id: str) -> Path:
    """A run's checkpoint: outside the run's folder, since Snakemake deletes a failed job's outputs."""
    return results(scale) / "checkpoints" / f"{run_id}.pt"


def log(scale: str, job: str) -> Path:
    """What a job printed."""
    return results(scale) / "logs" / f"{job}.log"


def table(scale: str, name: str, suffix: str) -> Path:
    return results(scale) / "tables" / f"{name}.{suffix}"


def figure(scale: str, name: str, suffix: str) -> Path:
    return Path("figures") / scale / f"{name}.{suffix}"


def table_files(scale: str, name: str) -> list[Path]:
    """Every file that a table consists of."""
    return [table(scale, name, suffix) for suffix in TABLE_SUFFIXES]


def figure_files(scale: str, name: str) -> list[Path]:
    """Every file that a figure consists of; the CSV holds what it draws."""
    return [figure(scale, name, suffix) for suffix in FIGURE_SUFFIXES]


def artifact_files(scale: str, name: str) -> list[Path]:
    """Every file of a table or figure."""
    return table_files(scale, name) if name.startswith("table") else figure_files(scale, name)


def report_files(scale: str) -> list[Path]:
    """The report, and what is written with it."""
    return [results(scale) / name for name in ("report.html", "report.pdf", "MANIFEST.json", "config.yaml")]


def sources(study: Study, name: str) -> list[Path]:
    """The files that a table or figure is made from: what its runs, and the matrix sensing sweep, have left."""
    artifact = study.artifact(name)
    folders = [run(study.scale, run_id) for run_id in artifact.run_ids]
    found = [folder / file for folder in folders for file in ("history.csv", "run.json")]
    if artifact.needs_sensing:
        found += sensing_files(study)
    return found
