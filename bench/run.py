"""Measure the project, write bench/results/*.json, and put their tables into docs/performance.md and docs/precision.md.

    python bench/run.py                     everything: about half an hour on two cores
    python bench/run.py sam_step sensing    these alone
    python bench/run.py --tables            nothing: only put the tables of what is there into the documents, those of
                                            bench/gpu_check.py too

On a machine with a GPU the results are of the GPU, in bench/results/*.cuda.json, with tables of their own.
"""

import argparse
import json
import os
import time
from pathlib import Path

import alternatives
import flops
import gpu_check
import precision
import report
import sam_family
import sam_step
import scaling
import sensing
import throughput
import torch
from tables import caption, fill

from sharpness import files
from sharpness.training.device import configure
from sharpness.training.process import skip_compiler_import

ROOT = Path(__file__).parents[1]
RESULTS = Path("bench/results")
DOCUMENTS = [Path("docs/performance.md"), Path("docs/precision.md")]
BENCHMARKS = {
    module.__name__: module
    for module in (sam_step, sam_family, throughput, flops, sensing, scaling, alternatives, precision, report)
}


def main() -> None:
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*BENCHMARKS, []],
        help=f"from {', '.join(BENCHMARKS)}; all by default",
        metavar="NAME",
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.tables:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for name in options.names or BENCHMARKS:
            print(f"{name} ...", flush=True)
            started = time.monotonic()
            configure(device, "fp32")
            skip_compiler_import()
            files.write_json(_result_file(name, device.type), BENCHMARKS[name].measure(device))
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    for document in DOCUMENTS:
        fill(document, blocks())


def blocks() -> dict[str, str]:
    """The table of everything that has been measured, by the name of its block in a document."""
    found = {}
    for name, module in BENCHMARKS.items():
        for device, suffix in (("cpu", ""), ("cuda", "_cuda")):
            if (file := _result_file(name, device)).exists():
                result = json.loads(file.read_text(encoding="utf-8"))
                tables = module.tables(result)
                last = list(tables)[-1]
                tables[last] += f"\n\n{caption(result['machine'])}"
                found |= {f"{block}{suffix}": table for block, table in tables.items()}
    if (file := gpu_check.OUTPUTS["cuda"]).exists():
        result = json.loads(file.read_text(encoding="utf-8"))
        tables = gpu_check.tables(result)
        found |= tables | {last: f"{tables[last]}\n\n{caption(result['machine'])}" for last in list(tables)[-1:]}
    return found


def _result_file(name: str, device: str) -> Path:
    return RESULTS / (f"{name}.json" if device == "cpu" else f"{name}.{device}.json")


if __name__ == "__main__":
    main()
