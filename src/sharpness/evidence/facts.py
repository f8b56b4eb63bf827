"""What the report says in numbers, read from the files that the study has left under results/ and figures/."""

import math
import string
from pathlib import Path

import pandas as pd

from sharpness import paths, records
from sharpness.errors import UserError
from sharpness.evidence import labels, tables
from sharpness.evidence.judgement import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from sharpness.evidence.runs import LARGEST_LOSS, read_end_points
from sharpness.study import Study, load_study, scale_names

# The scale that trains as the original's authors did.
ORIGINAL = "paper"
# A schedule with three drops, at 30, 60 and 80 % of the epochs, needs about this many to show anything of a method.
FEWEST_EPOCHS = 10


def read_facts(study: Study) -> dict:
    """Every fact that the report's template may quote; a number that does not exist is None.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    results = paths.results(study.scale)
    runs = _read_csv(results / "runs.csv")
    table1, table2, table3 = (_read_csv(paths.table(study.scale, f"table{number}", "csv")) for number in (1, 2, 3))
    compared = [*compare_radii(table1, runs, study), *compare_sensing(table3)]
    return {
        "study": study,
        "networks": {name: _sized_network(name, size) for name, size in study.settings["networks"].items()},
        "deviations": deviations(study),
        "badge": badge(study),
        "radii": {name: _radii(study, name) for name in study.methods},
        "uniform_loss": uniform_loss(study.training["label_smoothing"], classes=10),
        "runs": {"n": len(runs), "diverged": int((runs["status"] == records.DIVERGED).sum())},
        "tables": {name: read_table(study, name) for name in study.artifacts if name.startswith("table")},
        "radius": radius(table1),
        "drops": learning_rate_drops(
            _read_csv(paths.figure(study.scale, "figure1", "csv")), study.artifact("figure1").settings["seed"]
        ),
        "metric": metric(study, runs),
        "adaptivity": adaptivity(study, table2, runs),
        "progress": progress(_read_csv(paths.figure(study.scale, "figure5", "csv"))),
        "sensing": sensing(table3),
        "neuron": sharpness_left(read_end_points(study)),
        "compared": compared,
        "within": sum(row["within"] is True for row in compared),
        "judged": sum(row["within"] is not None for row in compared),
        "claims": claims(_read_csv(results / "claims.csv")),
    }


def read_table(study: Study, name: str) -> dict:
    """A table as Markdown: its caption, "**Table I.** ...", and its body, a pipe table."""
    caption, _, body = _read_text(paths.table(study.scale, name, "md")).partition("\n\n")
    return {"caption": caption, "body": body.strip()}


def badge(study: Study) -> dict:
    """What a reader must know of the scale before anything else: scale, text, and warning or note as its tone."""
    scale, epochs = study.settings["title"], study.settings["epochs"]
    trained = f"{scale[0].upper()}{scale[1:]}: {study.settings['dataset']['title']}, {epochs} epochs."
    if epochs < FEWEST_EPOCHS:
        text, tone = f"{trained} This shows that the pipeline works; it says nothing about the methods.", "warning"
    elif study.scale != ORIGINAL:
        text, tone = f"{trained} What is found here holds for this scale alone.", "note"
    else:
        text, tone = f"{trained} This is the original's training as its code runs it.", "note"
    return {"scale": scale, "text": text, "tone": tone, "warning": tone == "warning"}


def deviations(study: Study) -> list[dict]:
    """What differs between this scale and the original: what, here, original."""
    if study.scale == ORIGINAL or ORIGINAL not in scale_names():
        return []
    here, original = _described(study.settings), _described(load_study(ORIGINAL).settings)
    return [
        {"what": what, "here": here[what], "original": original.get(what)}
        for what in here
        if here[what] != original.get(what)
    ]


def uniform_loss(smoothing: float, classes: int) -> float:
    """The loss KL(target ‖ uniform), in nats, of a predictor that knows nothing."""
    others = smoothing / (classes - 1)
    entropy = -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(others) if smoothing else 0.0
    return math.log(classes) - entropy


def radius(table1: pd.DataFrame) -> dict:
    """Table I's radii, the best first, those of which no seed completed apart, and how close all but the last lie."""
    ranked = table1[table1["n"] > 0].sort_values("accuracy_mean", ascending=False, kind="stable")
    close = ranked.iloc[:-1]
    return {
        "ranked": _records(ranked),
        "lost": _records(table1[table1["n"] == 0]),
        "close": {
            "rho": sorted(close["rho"]),
            "range": _number(close["accuracy_mean"].max() - close["accuracy_mean"].min()),
            "std": _number(close["accuracy_std"].max()),
        },
    }


def learning_rate_drops(figure1: pd.DataFrame, seed: int) -> dict:
    """A seed's test loss in the last epoch before each drop of the learning rate and in the first one after it.

    Epochs are those after which the rate drops.
    """
    shown = figure1[figure1["curve"] == f"seed {seed}"]
    longest = shown.groupby("label")["epoch"].transform("max") == shown["epoch"].max()
    rates = shown[longest].groupby("epoch")["learning_rate"].first()
    epochs = [int(epoch) - 1 for epoch in rates.index[rates.diff() < 0]]
    losses = shown.pivot(index="label", columns="epoch", values="test_loss")
    rows = [
        {
            "label": label,
            "changes": [(_number(losses.at[label, epoch]), _number(losses.at[label, epoch + 1])) for epoch in epochs],
        }
        for label in shown["label"].unique()
    ]
    return {"epochs": epochs, "seed": seed, "rows": rows}


def metric(study: Study, runs: pd.DataFrame) -> dict[str, dict]:
    """Figure 3's methods by name: label, and mean and standard deviation of the final results over their seeds."""
    shown = runs[runs["run_id"].isin(study.artifact("figure3").run_ids)]
    rows = _records(tables.aggregate(shown, ["method", "rho"]))
    return {row["method"]: {**row, "label": _label(study, row)} for row in rows}


def adaptivity(study: Study, table2: pd.DataFrame, runs: pd.DataFrame) -> dict[str, dict]:
    """Table II by network: its methods, the best first; those lost to divergence; the lead and a spread to judge it by.

    Each method has also `highest`, the highest test accuracy of any epoch of any of its seeds.
    """
    highest = runs.groupby(["network", "method"])["best_test_accuracy"].max()
    networks = {}
    for network, group in table2.groupby("network", sort=False):
        rows = [
            {**row, "label": _label(study, row), "highest": _number(highest.get((network, row["method"])))}
            for row in _records(group)
        ]
        ranked = sorted((row for row in rows if row["n"]), key=lambda row: -row["accuracy_mean"])
        spreads = [row["accuracy_std"] for row in ranked[:2]]
        networks[network] = {
            "title": labels.network(network),
            "ranked": ranked,
            "lost": [row for row in rows if not row["n"]],
            "lead": ranked[0]["accuracy_mean"] - ranked[1]["accuracy_mean"] if len(ranked) > 1 else None,
            "spread": max(spreads) if spreads and None not in spreads else None,
            "by_method": {row["method"]: row for row in rows},
        }
    return networks


def progress(figure5: pd.DataFrame) -> list[dict]:
    """Figure 5's curves: the median loss before the last step, and the lowest one."""
    rows = []
    for (label, rho), curve in figure5.groupby(["label", "rho"], sort=False):
        last, lowest = curve.iloc[-1], curve.loc[curve["median"].idxmin()]
        rows.append(
            {
                "label": label,
                "rho": rho,
                "last": _loss(last["median"]),
                "last_step": int(last["step"]),
                "lowest": _loss(lowest["median"]),
                "lowest_step": int(lowest["step"]),
            }
        )
    return rows


def sensing(table3: pd.DataFrame) -> dict[str, list[dict]]:
    """Table III's rows by method, in the order of the steps; losses that diverged are None."""
    rows = [
        {**row, **{key: _loss(row[key]) for key in ("loss_median", "loss_min", "loss_max")}}
        for row in _records(table3.sort_values("step", kind="stable"))
    ]
    for row in rows:
        low, high = row["loss_min"], row["loss_max"]
        row["orders"] = math.log10(high / low) if low and high else None
    return {method: [row for row in rows if row["method"] == method] for method in table3["method"].unique()}


def sharpness_left(end_points: pd.DataFrame) -> dict[str, float]:
    """The median over the starts of the share of the single neuron's sharpness y² that is left, by method."""
    left = (end_points["y"] / end_points["y0"]) ** 2
    medians = left.groupby(end_points["method"], sort=False).median()
    return {labels.SENSING_TITLES[method]: share for method, share in medians.items()}


def compare_radii(table1: pd.DataFrame, runs: pd.DataFrame, study: Study) -> list[dict]:
    """Table I's published means beside ours: whether each lies between our lowest and our highest seed.

    Returns:
        A row for each value: table, what, published, ours, difference, low, high, n, within (None for fewer than two
        seeds).
    """
    completed = runs[runs["run_id"].isin(study.artifact("table1").run_ids) & (runs["status"] == records.COMPLETED)]
    rows = []
    for row in _records(table1):
        if row["published_accuracy_mean"] is None:
            continue
        seeds = completed[completed["rho"] == row["rho"]]
        for quantity in ("accuracy", "loss"):
            values, printed = seeds[f"final_test_{quantity}"], row[f"published_{quantity}_mean"]
            rows.append(
                {
                    "table": "table1",
                    "what": f"ρ = {row['rho']:g}, {quantity}",
                    "published": printed,
                    "ours": row[f"{quantity}_mean"],
                    "difference": row[f"{quantity}_difference"],
                    "low": _number(values.min()),
                    "high": _number(values.max()),
                    "n": len(values),
                    "within": bool(values.min() <= printed <= values.max()) if len(values) > 1 else None,
                }
            )
    return rows


def compare_sensing(table3: pd.DataFrame) -> list[dict]:
    """Table III's published losses beside ours: whether each lies between the lowest and the highest of our draws.

    Returns:
        As compare_radii, with ours the median, and orders, log₁₀ of ours over published, in place of the difference.
    """
    rows = []
    for row in _records(table3[table3["published"].notna()]):
        low, high, median = row["loss_min"], row["loss_max"], _loss(row["loss_median"])
        rows.append(
            {
                "table": "table3",
                "what": f"{labels.SENSING_TITLES[row['method']]}, step {row['step']}",
                "published": row["published"],
                "ours": median,
                "orders": math.log10(median / row["published"]) if median else None,
                "low": _loss(low),
                "high": _loss(high),
                "n": row["draws"],
                "within": bool(low <= row["published"] <= high) if row["draws"] > 1 else None,
            }
        )
    return rows


def claims(frame: pd.DataFrame) -> dict:
    """The findings, each with its parts; the criteria, which the parts name by number; how many have each verdict."""
    rows = [{**row, "n": None if row["n"] is None else int(row["n"])} for row in _records(frame)]
    whole = {row["claim"]: {**row, "parts": []} for row in rows if row["claim"][-1].isdigit()}
    parts = [row for row in rows if row["claim"] not in whole]
    criteria = list(dict.fromkeys(part["criterion"] for part in parts))
    for part in parts:
        part["criterion"] = criteria.index(part["criterion"]) + 1
        whole[part["claim"].rstrip(string.ascii_lowercase)]["parts"].append(part)
    verdicts = [row["verdict"] for row in whole.values()]
    counts = {verdict: verdicts.count(verdict) for verdict in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)}
    return {
        "rows": list(whole.values()),
        "criteria": criteria,
        "counts": {verdict: count for verdict, count in counts.items() if count},
    }


def _described(settings: dict) -> dict[str, str]:
    """A scale's settings in words."""
    dataset = settings["dataset"]
    flip = "flip" if dataset["flip"] else "no flip"
    return {
        "data set": dataset["title"],
        "augmentation": f"crop padding {dataset['crop_padding']}, {flip}, Cutout {dataset['cutout']}",
        "epochs": f"{settings['epochs']}",
        "batch size": f"{settings['batch_size']}",
        "precision": settings["precision"],
        "seeds": ", ".join(map(str, settings["seeds"])),
        **{labels.network(name): _sized_network(name, size) for name, size in settings["networks"].items()},
    }


def _sized_network(name: str, size: dict) -> str:
    return labels.sized_network({"network": name, **{f"network_{key}": value for key, value in size.items()}})


def _radii(study: Study, method: str) -> list[float]:
    return sorted({spec["rho"] for spec in study.runs.values() if spec["method"] == method and "rho" in spec})


def _label(study: Study, row: dict) -> str:
    return labels.method(study, row["method"], math.nan if row["rho"] is None else row["rho"])


def _loss(value: float | None) -> float | None:
    """A loss, None where it has diverged."""
    return float(value) if value is not None and value <= LARGEST_LOSS else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _records(frame: pd.DataFrame) -> list[dict]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _read_csv(path: Path) -> pd.DataFrame:
    _read_text(path)
    return pd.read_csv(path)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it first: snakemake --cores all") from None
