"""What one wants to know of a GPU before training there, in a few minutes, as JSON that is whole at any time.

    PYTHONPATH=src:tests python bench/gpu_check.py       on a GPU, in under eight minutes: bench/results/gpu_check.json
        --minutes 4 --output FILE                        sooner, elsewhere
        --device cpu --size tiny                         shows on any machine that it runs through

It needs torch, numpy, pandas, pyyaml, filelock and tqdm, and nothing that is installed of the project itself.
`python bench/run.py --tables` puts the tables into docs/performance.md.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import without_jsonschema  # noqa: F401

# isort: split

import gpu_at_once
import gpu_steps
import torch
from measure import machine
from tables import markdown

from sharpness import files
from sharpness.errors import UserError
from sharpness.evidence.formatting import duration
from sharpness.jobs import canonical
from sharpness.scales import scale_names
from sharpness.study import load_study
from sharpness.training.device import configure
from sharpness.training.estimate import START_SECONDS, estimate, kind_of
from sharpness.training.process import skip_compiler_import

ROOT = Path(__file__).parents[1]
OUTPUTS = {"cuda": Path("bench/results/gpu_check.json"), "cpu": Path("build/gpu_check_on_cpu.json")}
# Of the time that is left when a part begins, what it may use; the parts stand in their order.
SHARES = {"checks": 0.2, "steps": 0.55, "at_once": 0.5, "scales": 1.0}


def main() -> int:
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="where (default: cuda)")
    parser.add_argument("--size", choices=["full", "tiny"], default="full", help="of networks and batches")
    parser.add_argument("--minutes", type=float, default=7.0, help="when to stop measuring (default: 7)")
    parser.add_argument("--output", type=lambda path: Path(path).absolute(), help="the JSON file")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu-check: no GPU is visible here; --device cpu --size tiny shows that it runs", file=sys.stderr)
        return 1
    device = torch.device(options.device, 0) if options.device == "cuda" else torch.device("cpu")
    output = options.output or OUTPUTS[options.device]
    end = time.monotonic() + 60 * options.minutes
    configure(device, "fp32")
    skip_compiler_import()
    result: dict = {"machine": machine(device), "size": options.size, "minutes": options.minutes, "finished": False}
    result |= {part: [] for part in SHARES}
    files.write_json(output, result)
    for part, share in SHARES.items():
        started = time.monotonic()
        try:
            for row in measured(part, device, options.size, started + share * max(end - started, 0.0)):
                result[part].append(row)
                files.write_json(output, result)
        except Exception as error:  # of one part; the others still tell something
            traceback.print_exc()
            result[part].append({"error": _line(error)})
        print(f"{part}: {len(result[part])} rows in {time.monotonic() - started:.0f} s", flush=True)
    result["finished"] = True
    files.write_json(output, result)
    print(output)
    return int(any("error" in row for part in SHARES for row in result[part]))


def measured(part: str, device: torch.device, size: str, end: float) -> Iterator[dict]:
    """The rows of a part of the check, each as soon as it is known, until the clock says `end`."""
    match part:
        case "checks":
            return run_checks(device, end)
        case "steps":
            return gpu_steps.measure(device, size, end)
        case "at_once":
            return gpu_at_once.measure(device, size, end)
        case _:
            return cost_of_scales(device, ["smoke"] if size == "tiny" else _scales(), end)


def run_checks(device: torch.device, end: float) -> Iterator[dict]:
    """The tests that need a GPU."""
    from gpu_checks import CHECKS  # of tests/, which who only shows the tables need not have on the path

    if device.type != "cuda":
        return
    for name, check in CHECKS.items():
        started = time.monotonic()
        if started > end:
            yield {"name": name, "seconds": 0.0, "skipped": "the time was up"}
            continue
        try:
            check()
            outcome = {}
        except Exception as error:
            traceback.print_exc()
            outcome = {"error": _line(error)}
        yield {"name": name, "seconds": round(time.monotonic() - started, 2), **outcome}


def cost_of_scales(device: torch.device, scales: list[str], end: float) -> Iterator[dict]:
    """What each scale's runs would take one after the other, as `sharpness estimate` has it.

    Scales that differ in epochs, seeds and radii alone are measured once. One that reads a folder of images is left
    out: how many there are, only that folder says.
    """
    epochs: dict[str, dict[str, float]] = {}  # seconds of an epoch, by what decides them and by kind of run
    for scale in scales:
        study = load_study(scale)
        settings = study.settings
        if settings["dataset"]["name"] == "image_folder":
            continue
        sizes = {key: settings[key] for key in ("dataset", "networks", "batch_size", "precision")}
        deciding = canonical(sizes | {"kinds": sorted({kind_of(job) for job in study.runs.values()})})
        if deciding not in epochs and time.monotonic() > end:
            return
        if deciding not in epochs:
            kinds = estimate(list(study.runs.values()), settings["dataset"], Path("data"), device)
            epochs[deciding] = {kind.kind: (kind.seconds - START_SECONDS) / settings["epochs"] for kind in kinds}
        seconds = sum(
            START_SECONDS + settings["epochs"] * epochs[deciding][kind_of(job)] for job in study.runs.values()
        )
        yield {"scale": scale, "runs": len(study.runs), "epochs": settings["epochs"], "seconds": seconds}


def _scales() -> list[str]:
    """All scales, the one that matters most first: time may be up before the last."""
    return sorted(scale_names(), key=lambda name: name != "paper")


def tables(result: dict) -> dict[str, str]:
    """Each part's table; the last one's caption is the machine's."""
    verdict = _verdict(result["checks"])
    scales = [
        [row["scale"], row["runs"], row["epochs"], duration(row["seconds"])]
        for row in result["scales"]
        if "error" not in row
    ]
    return {
        "gpu_checks": verdict,
        **gpu_steps.tables([row for row in result["steps"] if "error" not in row]),
        **gpu_at_once.tables([row for row in result["at_once"] if "error" not in row]),
        "gpu_scales": markdown(["scale", "runs", "epochs", "all runs, one after the other"], scales),
    }


def _verdict(checks: list[dict]) -> str:
    tried = [row for row in checks if "skipped" not in row]
    failed = [row.get("name", row["error"]) for row in tried if "error" in row]
    text = f"{len(tried) - len(failed)} of {len(tried)} tests that need a GPU pass here"
    if failed:
        text += f"; not: {', '.join(failed)}"
    if len(checks) > len(tried):
        text += f"; for {len(checks) - len(tried)} there was no time"
    return f"{text}."


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"gpu-check: {error}")
