"""(c) Floating-point operations per second of a SAM step, against the fastest matrix product of the same precision."""

from collections.abc import Sequence
from statistics import median

import torch
from measure import interleaved, machine
from tables import markdown
from torch.utils.flop_counter import FlopCounterMode
from workloads import Workload, laptop_networks, smoothed_loss, step_spec, wrn_16_2, wrn_22_8

from sharpness.training.device import configure
from sharpness.training.step import build_optimizer, build_step

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(
    device: torch.device, budget: float = 12.0, workloads: Sequence[Workload] | None = None, side: int | None = None
) -> dict:
    """Time the steps and, between them, the product of two square matrices.

    Args:
        device: where.
        budget: seconds for each workload and precision.
        workloads: by default the laptop scale's WideResNet, a WRN-16-2 and the report's WRN-22-8.
        side: of the matrices; by default 2048 on a CPU and 8192 on a GPU, beyond which the rate no longer grows.
    """
    side = side or (8192 if device.type == "cuda" else 2048)
    rows = []
    for precision, dtype in TYPES.items():
        configure(device, precision)
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        for workload in workloads or [laptop_networks()[0], wrn_16_2(), wrn_22_8()]:
            network = workload.build(device)
            step = build_step(network, build_optimizer(network, step_spec()), smoothed_loss(), precision)
            batch = workload.batch(device)
            with FlopCounterMode(display=False) as counter:
                step(*batch)
            seconds = interleaved(
                {
                    "step": lambda step=step, batch=batch: step(*batch),
                    "product": lambda left=left, right=right: left @ right,
                },
                budget,
                device,
            )
            rate = counter.get_total_flops() / median(seconds["step"])
            ceiling = 2 * side**3 / median(seconds["product"])
            rows.append(
                {
                    "network": workload.title,
                    "batch_size": workload.batch_size,
                    "precision": precision,
                    "flop_per_image": counter.get_total_flops() / workload.batch_size,
                    "flop_per_second": rate,
                    "ceiling": ceiling,
                    "share": rate / ceiling,
                }
            )
    return {"machine": machine(device), "side": side, "rows": rows}


def tables(result: dict) -> dict[str, str]:
    header = ["SAM step", "batch", "precision", "GFLOP an image", "GFLOP/s", "matrix product (GFLOP/s)", "share"]
    rows = [
        [
            row["network"],
            row["batch_size"],
            row["precision"],
            f"{row['flop_per_image'] / 1e9:.3g}",
            f"{row['flop_per_second'] / 1e9:.0f}",
            f"{row['ceiling'] / 1e9:.0f}",
            f"{row['share']:.0%}",
        ]
        for row in result["rows"]
    ]
    return {"flops": markdown(header, rows)}
