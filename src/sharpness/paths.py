"""Where a scale's results are, relative to the working directory; jobs and artifacts know their own files."""

from pathlib import Path


def results(scale: str) -> Path:
    return Path("results") / scale


def runs(scale: str) -> Path:
    """The training runs, one row each."""
    return results(scale) / "runs.csv"


def claims(scale: str) -> Path:
    """The findings, judged."""
    return results(scale) / "claims.csv"


def record(table: Path) -> Path:
    """Beside runs.csv or claims.csv: its hash."""
    return table.with_suffix(".json")


def manifest(scale: str) -> Path:
    """Every artifact's files and jobs, with their hashes."""
    return results(scale) / "MANIFEST.json"


def config(scale: str) -> Path:
    """The resolved configuration that the manifest is of."""
    return results(scale) / "config.yaml"


def report(scale: str) -> list[Path]:
    """The report as HTML and as PDF."""
    return [results(scale) / "report.html", results(scale) / "report.pdf"]


def log(scale: str, job: str) -> Path:
    """What a job printed."""
    return results(scale) / "logs" / f"{job}.log"
