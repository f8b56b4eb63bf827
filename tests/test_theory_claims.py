"""The verdicts of Part II: every part is supported by data that agree and contradicted by others."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from sharpness.evidence.claims import judge_claims
from sharpness.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from sharpness.study import load_study

CELLS = 100


@pytest.fixture
def study(tmp_path, monkeypatch):
    synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return load_study("smoke", tmp_path, theory=True)


def errors(law: str, error: float, **more) -> pd.DataFrame:
    """Cells of a law whose measurements are off by an error; those beyond theory's assumptions are off by far more."""
    inside = pd.DataFrame({"law": law, "error": error, "assumed": 1, "loss": 1.0, **more}, index=range(CELLS))
    return pd.concat([inside, inside.assign(error=9.0, assumed=0)])


def diagonal(error: float, first_error: float) -> pd.DataFrame:
    frames = [errors(law, error, first_error=first_error) for law in ("sam-l2", "sam-linf")]
    return pd.concat(frames).rename(columns={"law": "method"})


def losses(law: str, loss: float) -> pd.DataFrame:
    values = np.full(CELLS, 0.1)
    values[: CELLS // 4] = loss
    return pd.DataFrame({"law": law, "loss": values, "error": 0.0, "assumed": 1})


def edges(law: str, off: float) -> pd.DataFrame:
    """Four descents that come from below and settle at a distance from their edges."""
    rows = [
        (law, rate, rho, step, (1 + off if step > 50 else 0.1) * 2 / rate + 1e-3 * step / rate, 2 / rate)
        for rate in (0.1, 0.2)
        for rho in (0.1, 0.3)
        for step in range(101)
    ]
    return pd.DataFrame(rows, columns=["law", "learning_rate", "rho", "step", "eigenvalue", "edge"])


def distances(law: str, distance: float) -> pd.DataFrame:
    rho = 0.0 if law == "gd" else 0.03
    rows = [
        (law, rho, scale, draw, step, (distance if step else 4.0) * (1 + draw / 50))
        for scale in (0.3, 1.0)
        for draw in range(4)
        for step in (0, 100)
    ]
    return pd.DataFrame(rows, columns=["law", "rho", "scale", "draw", "step", "distance"])


# Of each part: the problems' data that support it, and those that contradict it.
DATA = {
    "T1a": [{"cycle": errors("sam", 1e-10)}, {"cycle": errors("sam", 1e-8)}],
    "T1b": [{"border": errors("usam", 1e-8)}, {"border": errors("usam", 1e-5)}],
    "T2a": [{"phases-usam": errors("usam", 0.01)}, {"phases-usam": errors("usam", 0.03)}],
    "T2b": [{"phases-sam": errors("sam", 0.01)}, {"phases-sam": errors("sam", 0.03)}],
    "T3a": [{"map-sam": errors("sam", 0.05)}, {"map-sam": errors("sam", 0.2)}],
    "T4a": [
        {"flatness-gd": distances("gd", 0.7), "flatness-sam": distances("sam", 0.2)},
        {"flatness-gd": distances("gd", 0.7), "flatness-sam": distances("sam", 0.75)},
    ],
    "T4b": [
        {"flatness-gd": distances("gd", 0.7), "flatness-usam": distances("usam", 0.3)},
        {"flatness-gd": distances("gd", 0.7), "flatness-usam": distances("usam", np.inf)},
    ],
    "T5a": [{"edge-gd": edges("gd", 0.01)}, {"edge-gd": edges("gd", -0.4)}],
    "T5b": [{"edge-sam": edges("sam", 0.01)}, {"edge-sam": edges("sam", 0.4)}],
    "T5c": [{"edge-usam": edges("usam", 0.01)}, {"edge-usam": edges("usam", 0.4)}],
    "T6a": [{"diagonal": diagonal(0, 1)}, {"diagonal": diagonal(1, 0)}],
    "T6b": [{"diagonal": diagonal(0, 1)}, {"diagonal": diagonal(1, 0)}],
    "T6c": [{"diagonal": diagonal(1, 0)}, {"diagonal": diagonal(0, 1)}],
    "T7a": [{"map-sam": losses("sam", 3.0)}, {"map-sam": losses("sam", np.inf)}],
    "T7b": [{"map-damped": losses("damped", 3.0)}, {"map-damped": losses("damped", np.inf)}],
    "T7c": [
        {"map-interpolation": losses("interpolation", np.inf)},
        {"map-interpolation": losses("interpolation", 3.0)},
    ],
}  # fmt: skip


def test_every_part_has_its_data(study):
    parts = [part.name for claim in study.claims if claim.section in study.theory for part in claim.parts]
    assert parts == list(DATA)


@pytest.mark.parametrize("part", DATA)
@pytest.mark.parametrize(("which", "verdict"), [(0, SUPPORTED), (1, CONTRADICTED)])
def test_a_verdict_changes_when_its_data_are_replaced_by_a_counter_example(study, part, which, verdict):
    for problem in study.parts[next(iter(DATA[part][which])).split("-")[0]]:
        frame = DATA[part][which].get(problem)
        if frame is None:  # another law's job of the same problem, which the part does not look at
            law = study.problems[problem].spec.get("laws", ["gd"])[0]
            frame = DATA[part][which][next(iter(DATA[part][which]))].assign(law=law)
        synthetic.write_problem(study.problems[problem], frame)

    judged = judge_claims(study).set_index("claim")

    assert judged.loc[part, "verdict"] == verdict, judged.loc[part, "reason"]


def test_what_has_not_been_computed_is_inconclusive(study):
    judged = judge_claims(study).set_index("claim")

    assert (judged.loc[list(DATA), "verdict"] == INCONCLUSIVE).all()
    assert judged.loc["T3a", "reason"].endswith("is missing")
