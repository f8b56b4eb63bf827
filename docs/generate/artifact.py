"""Write ARTIFACT.md, the artifact appendix, from artifact.md and a finished scale: its claims.csv and MANIFEST.json.

Usage, from the project's root: python docs/generate/artifact.py [SCALE]     (default: laptop)
"""

import sys
from pathlib import Path

import jinja2
import pandas as pd

from sharpness import files, paths
from sharpness.errors import UserError
from sharpness.evidence import manifest
from sharpness.evidence.formatting import FILTERS, duration, memory
from sharpness.evidence.verify import verify
from sharpness.study import Study, load_study

TEMPLATE = Path(__file__).with_name("artifact.md")


def main() -> None:
    scale = sys.argv[1] if len(sys.argv) > 1 else "laptop"
    try:
        files.write_text(Path("ARTIFACT.md"), text(load_study(scale, theory=False)))
    except UserError as error:
        sys.exit(f"artifact.py: error: {error}")


def text(study: Study) -> str:
    """The appendix, with what a finished scale has cost and given.

    Raises:
        UserError: the scale is not finished, or its results are not what the tree gives.
    """
    findings = verify(study)
    if findings:
        raise UserError(f"scale {study.scale} is incomplete, or not what the tree gives; first {findings[0]}")
    built = manifest.build(study)
    claims = pd.read_csv(paths.claims(study.scale), index_col="claim").to_dict("index")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= FILTERS | {"duration": duration, "memory": memory}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        scale=study.scale,
        title=study.settings["title"],
        runs=len(study.runs),
        problems=len(study.problems),
        cost=built["cost"],
        machines=[f"{machine['processor']}, {machine['system']}" for machine in built["environments"]],
        versions=[f"{name} {version}" for name, version in built["environments"][0]["versions"].items()],
        megabytes=sum(path.stat().st_size for path in _files(built)) / 2**20,
        claims=[_claim(study, claim.name, built, claims) for claim in study.claims],
    )


def _files(built: dict) -> list[Path]:
    """Every file that a manifest names, once."""
    parts = [*built["jobs"].values(), *built["artifacts"].values()]
    return [Path(name) for name in dict.fromkeys(name for part in parts for name in part["files"])]


def _claim(study: Study, name: str, built: dict, rows: dict) -> dict:
    """A finding: its verdict, what shows it, what that costs, and the rows of its parts."""
    [claim] = [claim for claim in study.claims if claim.name == name]
    shown = [artifact for artifact in study.artifacts if study.artifacts[artifact].section == claim.section]
    jobs = {identity for artifact in shown for identity in built["artifacts"][artifact]["jobs"]}
    return {
        "name": name,
        "statement": claim.statement,
        "verdict": rows[name]["verdict"],
        "targets": " ".join(shown),
        "jobs": len(jobs),
        "seconds": sum(built["jobs"][identity]["cost"]["cpu_seconds"] for identity in jobs),
        "parts": [{"name": part.name, **rows[part.name]} for part in claim.parts],
    }


if __name__ == "__main__":
    main()
