"""A label is for readers and no identity: numbers, colours and rows stay with their method and radius without it."""

import dataclasses
from pathlib import Path

import projects
import pytest
import synthetic

from sharpness.errors import UserError
from sharpness.evidence import style
from sharpness.evidence.formatting import MARKDOWN
from sharpness.study import load_study

TWIN = {"title": "ASAM again", "optimizer": "sam", "p": 2, "geometry": "absolute", "normalization": "none"}


@pytest.fixture
def alike(tmp_path, monkeypatch):
    """A study in which two methods have one title and one radius, as no study that is loaded can have it."""
    monkeypatch.chdir(tmp_path)
    synthetic.project(tmp_path, "smoke")

    def add_twin(design: dict) -> None:
        design["methods"]["twin"] = TWIN
        design["experiments"]["adaptivity"]["runs"].append({"method": "twin", "rho": [2.0]})

    projects.edit(Path("config/study.yaml"), add_twin)
    study = load_study("smoke")
    study = dataclasses.replace(study, methods=study.methods | {"twin": TWIN | {"title": "ASAM"}})
    for run_id, job in study.runs.items():
        accuracy = {"asam": 0.7, "twin": 0.9}.get(job.spec["method"], 0.5)
        rows = [synthetic.record(job.spec, epoch, test_accuracy=accuracy, test_loss=1 - accuracy) for epoch in (1, 2)]
        synthetic.write(study, run_id, rows)
    return study


def test_a_table_shows_each_method_its_own_number(alike):
    table = alike.artifact("table2")
    data = table.data(alike)
    content = table.content(alike, data, MARKDOWN)

    assert content.header[-2:] == ["ASAM, ρ = 2", "ASAM, ρ = 2"]
    assert [row[-2:] for row in content.rows] == [["0.7000 (n = 1)", "**0.9000 (n = 1)**"]] * 4


def test_a_figure_draws_each_method_its_own_curve_in_its_own_colour(alike):
    figure = alike.artifact("figure4")
    data = figure.data(alike)
    with style.paper():
        drawing = figure.draw(alike, data)
        style.settle(drawing)
        losses, accuracies = figure.hover(alike, drawing, data)

    assert [series["label"] for series in losses["series"]] == ["SGD", "SAM, ρ = 0.05", "ASAM, ρ = 2", "ASAM, ρ = 2"]
    assert [series["text"][-1] for series in accuracies["series"]] == ["0.5000", "0.5000", "0.7000", "0.9000"]
    assert len({series["colour"] for series in losses["series"]}) == 4
    assert len(figure.facts(alike, data)["drops"]["rows"]) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda design: design["methods"]["twin"].update(title="ASAM"), "methods.asam and methods.twin have one title"),
        (
            lambda design: design["experiments"]["adaptivity"]["runs"][2].update(rho=[2.0, 2.0000001]),
            "asam at rho 2.0 and asam at rho 2.0000001 are both shown as 'ASAM, ρ = 2'",
        ),
    ],
)
def test_what_would_be_shown_alike_is_refused(alike, change, message):
    projects.edit(Path("config/study.yaml"), change)
    with pytest.raises(UserError, match=message):
        load_study("smoke")


def test_any_number_of_methods_have_colours_that_differ():
    names = [f"method-{index}" for index in range(12)]
    assert len({style.method_colours(names)[name] for name in names}) == 12
