"""What several scales say of the same findings."""

from sharpness.evidence.publish.records import Record
from sharpness.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, SUPPORTED


def findings(records: list[Record]) -> list[dict]:
    """Each finding with its parts, both with their rows of claims.csv by scale; and the part that decides it there."""
    found: dict[str, dict] = {}
    for record in records:
        claims = record.claims.astype(object).where(record.claims.notna(), None).to_dict("records")
        for row in claims:
            entry = found.setdefault(row["claim"], {"name": row["claim"], "statement": row["statement"], "by": {}})
            entry["by"][record.scale] = row
    wholes = [entry for name, entry in found.items() if _is_whole(name)]
    for whole in wholes:
        whole["parts"] = [entry for name, entry in found.items() if name[:-1] == whole["name"] and not _is_whole(name)]
        whole["deciding"] = {
            scale: next(part for part in whole["parts"] if part["by"].get(scale, {}).get("verdict") == row["verdict"])[
                "by"
            ][scale]
            for scale, row in whole["by"].items()
        }
    return wholes


def compare(one: Record, other: Record) -> dict:
    """What two scales decide differently.

    Returns:
        The scales' titles; of the findings and parts that both decide how many, and those with opposite verdicts; the
        findings that only one of the two decides.
    """
    verdicts = [dict(zip(record.claims["claim"], record.claims["verdict"], strict=True)) for record in (one, other)]
    statements = dict(zip(one.claims["claim"], one.claims["statement"], strict=True))
    both = [name for name in verdicts[0] if name in verdicts[1]]
    decided = [name for name in both if INCONCLUSIVE not in (verdicts[0][name], verdicts[1][name])]
    rows = {
        name: {"name": name, "statement": statements[name], "verdicts": [verdicts[0][name], verdicts[1][name]]}
        for name in both
    }
    return {
        "titles": [one.about["title"], other.about["title"]],
        "both": sum(map(_is_whole, decided)),
        "opposite": [rows[name] for name in decided if {*rows[name]["verdicts"]} == {SUPPORTED, CONTRADICTED}],
        "one_only": [
            rows[name]
            for name in both
            if _is_whole(name) and name not in decided and {*rows[name]["verdicts"]} != {INCONCLUSIVE}
        ],
    }


def _is_whole(name: str) -> bool:
    """Whether a row of claims.csv is a finding's, such as F1, and not that of a part, such as F1a."""
    return name[-1].isdigit()
