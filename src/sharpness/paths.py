"""Where a scale's results are, relative to the working directory, and what comes with the code beside src/.

Jobs and artifacts know their own files.
"""

from pathlib import Path

from sharpness.errors import SettingError
from sharpness.settings import require

LONGEST_NAME = 200  # bytes: file systems take 255, and what is made in a folder has longer names than it


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


def crate(scale: str) -> Path:
    """The scale as a Workflow Run RO-Crate."""
    return results(scale) / "crate.zip"


def log(scale: str, job: str) -> Path:
    """What a job printed."""
    return results(scale) / "logs" / f"{job}.log"


def tracking(scale: str, tracker: str) -> Path:
    """What a tracker (sharpness.training.tracking) keeps of the scale's runs."""
    return results(scale) / "tracking" / tracker


def folder(text: str) -> Path:
    """A folder that config/ names, with ~ as the home folder.

    Raises:
        SettingError: a shell, Snakemake or a file system would take it for something else.
    """
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    require(bool(text.strip()), f"{shown} is blank; give a path")
    require(text.isprintable(), f"{shown} has a control character; give a path without")
    require(not text.startswith("-"), f"{shown} begins with -, as an option does; write ./{text}")
    require(not set(text) & set("{}"), f"{shown} has a brace, which Snakemake fills in; give a path without")
    require("://" not in text, f"{shown} is an address; give the path of a folder on this machine")
    longest = max(len(part.encode()) for part in text.split("/"))
    require(longest <= LONGEST_NAME, f"{shown} has a name of {longest} bytes; give names of {LONGEST_NAME} at most")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise SettingError(f"{shown} is the home folder of nobody here; write the path in full") from None
