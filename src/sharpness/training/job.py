"""One training run as a job: data, device, loop, and what it leaves under results/."""

import sys
from pathlib import Path

import torch

from sharpness import provenance
from sharpness.datasets import prepare
from sharpness.errors import UserError, is_out_of_memory
from sharpness.jobs import Job
from sharpness.progress import Progress
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import load_data
from sharpness.training.device import claim_device, configure, describe
from sharpness.training.history import history_text
from sharpness.training.loop import Outcome, train
from sharpness.training.passes import backward_passes, steps_of
from sharpness.training.process import skip_compiler_import
from sharpness.training.step import settings_in
from sharpness.training.tracking import Tracking


def run_training(
    job: Job, dataset: dict, data_dir: Path, device_name: str, runs_per_gpu: int, cuda_graph: bool, tracker: str
) -> tuple[Outcome, bool]:
    """Train a run and write its history.csv and run.json, unless it has them; continue from its checkpoint if any.

    Args:
        job: the run.
        dataset: the `dataset` settings of its scale.
        data_dir: folder of the prepared data sets.
        device_name: "auto", "cpu" or "cuda".
        runs_per_gpu: how many runs may share a GPU.
        cuda_graph: on a GPU, replay each step as one CUDA graph.
        tracker: a name of sharpness.training.tracking, or "none".

    Returns:
        What it gave, and whether it had been finished before with this result: its files are then left as they are.

    Raises:
        UserError: a fault of the data, the device or the settings, or the memory is exhausted, or the run had been
            finished before with another result, or its files have been damaged since.
        Interrupted: a signal stopped the run; its checkpoint is saved.
    """
    if job.is_finished():
        job.read()  # a damaged one is refused before it is trained again
    spec = job.spec
    show_progress = sys.stderr.isatty()
    prepared = prepare(dataset, data_dir, show_progress)
    with Progress(job) as progress, Tracking(tracker, job) as tracking:

        def watch(history: list[dict[str, float]], seconds: float) -> None:
            accuracy = history[-1]["test_accuracy"] if history else None
            progress.update(history_text(history), len(history), seconds, accuracy)
            tracking.update(history)

        with claim_device(device_name, runs_per_gpu) as device:
            configure(device, spec["precision"])
            skip_compiler_import()
            try:
                data = load_data(prepared, spec, device)
                checkpoint = CheckpointFile(job.checkpoint, {"id": job.id, "spec": spec, "data_sha256": data.sha256})
                with settings_in(job.scale):
                    outcome = train(spec, data, device, checkpoint, cuda_graph, show_progress, watch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                raise UserError(
                    f"{job.id}: {'GPU' if device.type == 'cuda' else 'main'} memory exhausted with batch_size "
                    f"{spec['batch_size']}; choose a smaller batch or network, or precision bf16, in "
                    f"config/scales/{job.scale}.yaml, or run fewer at once (runs_per_gpu in config/config.yaml, "
                    "snakemake --cores)"
                ) from None
            gpu_memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
            on = describe(device) | ({"cuda_graph": cuda_graph} if device.type == "cuda" else {})
        text = history_text(outcome.history)
        more = {
            "epochs": len(outcome.history),
            "steps": steps_of(len(outcome.history), len(data.train_labels), spec["batch_size"]),
            "backward_passes": backward_passes(spec, len(data.train_labels), len(outcome.history)),
            "classes": data.classes,
            "data_sha256": data.sha256,
        }
        try:
            repeated = job.has_result(text, outcome.status, **more)
        except UserError:
            checkpoint.remove()
            raise
        if not repeated:
            cost = provenance.cost(outcome.seconds, outcome.earlier_cpu_seconds, gpu_memory)
            job.write(text, outcome.status, provenance.origin(on), cost, **more)
        checkpoint.remove()
        tracking.status = outcome.status
    return outcome, repeated
