"""The report's findings judged by the jobs of one scale: each claim of config/claims.yaml, as claims.csv.

A part of a claim measures one quantity, once for each pair of runs, run, draw or start, and puts these values to one
test (sharpness.evidence.verdicts). Everything short of a decision is inconclusive: a missing run, too few values, an
interval that leaves both open. The verdicts hold for the scale that was run.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sharpness import paths
from sharpness.evidence.power import values_needed
from sharpness.evidence.quantity import Results, Unmeasured
from sharpness.evidence.runs import read_table, write_table
from sharpness.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Judgement, criterion, judge
from sharpness.study import Claim, Part, Study

COLUMNS = (
    "claim",
    "statement",
    "section",
    "quantity",
    "effect",
    "low",
    "high",
    "n",
    "criterion",
    "verdict",
    "reason",
    "needed",
)
COUNTS = ("n", "needed")
NUMBERS = ("effect", "low", "high", *COUNTS)

# A claim's verdict is the first of these that any of its parts has.
VERDICTS = (CONTRADICTED, INCONCLUSIVE, SUPPORTED)


def write_claims(study: Study) -> None:
    """Write results/<scale>/claims.csv.

    Raises:
        UserError: as judge_claims.
    """
    write_table(paths.claims(study.scale), judge_claims(study))


def judge_claims(study: Study) -> pd.DataFrame:
    """Every claim, judged by what the study's jobs have left so far.

    Returns:
        For each claim one row with its verdict (claim "F1"), then one for each of its parts ("F1a", "F1b", ...), with
        the columns COLUMNS. The row of a claim has no effect, interval and n of its own; `needed` is how many values
        would probably decide an inconclusive part (sharpness.evidence.power).

    Raises:
        UserError: a file that a job has left is not the one that it wrote.
    """
    results = Results(study)
    rows = []
    for claim in study.claims:
        judged = [_judge_part(results, claim, part) for part in claim.parts]
        rows += [_judge_whole(claim, judged), *judged]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COUNTS, "Int64"))


def read_claims(path: Path) -> pd.DataFrame:
    """What judge_claims has found, from the CSV file that has it.

    Raises:
        OSError, ValueError, KeyError: there is none that can be read.
    """
    return read_table(path, NUMBERS)[list(COLUMNS)].astype(dict.fromkeys(COUNTS, "Int64"))


def _judge_part(results: Results, claim: Claim, part: Part) -> dict:
    level, needed = results.study.level, None
    try:
        sample = part.quantity.measure(results).known()
        judgement = judge(sample, part.test, level)
        if judgement.verdict == INCONCLUSIVE:
            needed = values_needed(sample.values, part.test, level)
    except Unmeasured as reason:
        judgement = Judgement(np.nan, np.nan, np.nan, None, INCONCLUSIVE, str(reason))
    return {
        "claim": part.name,
        "statement": part.statement,
        "section": claim.section,
        "quantity": part.quantity.describe(results.study),
        "criterion": criterion(part.test, level),
        **vars(judgement),
        "needed": needed,
    }


def _judge_whole(claim: Claim, parts: list[dict]) -> dict:
    """A claim's own row: supported if every part is, contradicted if any part is."""
    found = {verdict: [part["claim"] for part in parts if part["verdict"] == verdict] for verdict in VERDICTS}
    verdict = next(verdict for verdict in VERDICTS if found[verdict])
    return {
        "claim": claim.name,
        "statement": claim.statement,
        "section": claim.section,
        "quantity": "all of " + ", ".join(part["claim"] for part in parts),
        "n": None,
        "needed": None,
        "criterion": "supported: every part is; contradicted: any part is",
        "verdict": verdict,
        "reason": f"{', '.join(found[verdict])} {verdict}" if verdict != SUPPORTED else "every part supported",
    }
