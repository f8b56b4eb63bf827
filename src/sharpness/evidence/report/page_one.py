"""What page one says beside the verdicts: how SAM compares with SGD, and what other scales have found."""

import pandas as pd

from sharpness.evidence import titles
from sharpness.evidence.publish.comparison import findings
from sharpness.evidence.publish.records import SCALES, Record, judged_alike, load_records
from sharpness.evidence.quantities.accuracy_difference import AccuracyDifference
from sharpness.study import Study


def sam_against_sgd(study: Study, rows: list[dict]) -> list[dict]:
    """Each part of a finding that measures by how much SAM ends more accurate than SGD, in words.

    Args:
        study: the study.
        rows: the findings with their parts, as sharpness.evidence.report.context.claims gives them.

    Returns:
        For each the network, sam (with its radius), answer, effect, low and high (in points; None: unknown).
    """
    judged = {part["claim"]: part for row in rows for part in row["parts"]}
    found = []
    for part in (part for claim in study.claims for part in claim.parts):
        quantity = part.quantity
        if isinstance(quantity, AccuracyDifference) and _methods(quantity) == ("sam", "sgd"):
            row = judged[part.name]
            known = {key: row[key] for key in ("effect", "low", "high")}
            points = {key: None if value is None else quantity.written(value) for key, value in known.items()}
            network, sam = titles.network(quantity.network), quantity.first.in_words(study)
            found.append({"network": network, "sam": sam, "answer": _answer(row), **points})
    return found


def _methods(quantity: AccuracyDifference) -> tuple[str, str]:
    return quantity.first.method, quantity.second.method


def _answer(row: dict) -> str:
    """What an interval says of a difference."""
    if row["low"] is None:
        return "too few runs to tell"
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "no clear difference"


def by_scale(study: Study, claims: pd.DataFrame) -> list[dict]:
    """The verdicts on the findings at this scale, and at those whose published record has the same criteria.

    Args:
        study: the study.
        claims: its claims.csv; the predictions of Part II are left out, as no record has them.

    Returns:
        For each scale, this one first, its title and its verdicts by finding; nothing if there is no other scale.

    Raises:
        UserError: a record cannot be read.
    """
    about = {"scale": study.scale, "title": study.settings["title"]}
    own = Record(about, claims[~claims["section"].isin(study.theory)])
    records = load_records(scale for scale in SCALES if scale != study.scale)
    others = [record for record in records if judged_alike(record, own.claims)]
    if not others:
        return []
    records = [own, *others]
    found = findings(records)
    return [
        {
            "title": record.about["title"],
            "verdicts": {finding["name"]: finding["by"][record.scale]["verdict"] for finding in found},
        }
        for record in records
    ]
