"""Where a scale's results are, relative to the working directory, and what comes with the code beside src/.

Jobs and artifacts know their own files.
"""

from pathlib import Path


def shipped(path: Path | str, root: Path = Path()) -> Path:
    """A file or folder of workflow/: the project's own, or that beside this code where another project imports it."""
    is_imported = not (root / "workflow/schemas").is_dir()
    return (Path(__file__).parents[2] if is_imported else root) / path


def results(scale: str) -> Path:
    return Path("results") / scale


def runs(scale: str) -> Path:
    """The training runs, one row each."""
    return results(scale) / "runs.csv"


def claims(scale: str) -> Path:
    """The findings, judged."""
    return results(scale) / "claims.csv"


def manifest(scale: str) -> Path:
    """Every artifact's files and jobs, with their hashes."""
    return results(scale) / "MANIFEST.json"


def config(scale: str) -> Path:
    """The resolved configuration that the manifest is of."""
    return results(scale) / "config.yaml"


def report(scale: str) -> list[Path]:
    """The report as HTML and as PDF."""
    return [results(scale) / "report.html", results(scale) / "report.pdf"]


def crate(scale: str) -> Path:
    """The scale as a Workflow Run RO-Crate."""
    return results(scale) / "crate.zip"


def log(scale: str, job: str) -> Path:
    """What a job printed."""
    return results(scale) / "logs" / f"{job}.log"
