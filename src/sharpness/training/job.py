"""One training run as a job: data, device, loop, and what it leaves under results/."""

import sys
from pathlib import Path

import torch

from sharpness import paths, provenance
from sharpness.datasets import prepare
from sharpness.errors import UserError, is_out_of_memory
from sharpness.records import write_run
from sharpness.study import TRAINING_SEMANTICS, Study
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import load_data
from sharpness.training.device import claim_device, configure, describe
from sharpness.training.loop import Outcome, train
from sharpness.training.settings import SettingError
from sharpness.training.start_up import skip_compiler_import


def run_training(
    study: Study, run_id: str, data_dir: Path, device_name: str, runs_per_gpu: int, cuda_graph: bool
) -> Outcome:
    """Train a run of the study and write its history.csv and run.json; continue from its checkpoint if there is one.

    Args:
        study: the study at its scale.
        run_id: which of its runs.
        data_dir: folder of the prepared data sets.
        device_name: "auto", "cpu" or "cuda".
        runs_per_gpu: how many runs may share a GPU.
        cuda_graph: on a GPU, replay each step as one CUDA graph.

    Raises:
        UserError: an unknown run, a fault of the data, the device or the settings, or the memory is exhausted.
        Interrupted: a signal stopped the run; its checkpoint is saved.
    """
    spec = study.spec(run_id)
    show_progress = sys.stderr.isatty()
    prepared = prepare(study.settings["dataset"], data_dir, show_progress)
    with claim_device(device_name, runs_per_gpu) as device:
        configure(device, spec["precision"])
        skip_compiler_import()
        try:
            data = load_data(prepared, spec, device)
            identity = {"run_id": run_id, "spec": spec, "data_sha256": data.sha256}
            checkpoint = CheckpointFile(paths.checkpoint(study.scale, run_id), identity)
            outcome = train(spec, data, device, checkpoint, cuda_graph, show_progress)
        except SettingError as error:
            raise error.at(study.scale) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"{run_id}: {'GPU' if device.type == 'cuda' else 'main'} memory exhausted with batch_size "
                f"{spec['batch_size']}; choose a smaller batch or network, or precision bf16, in "
                f"config/scales/{study.scale}.yaml, or run fewer at once (runs_per_gpu in config/config.yaml, "
                "snakemake --cores)"
            ) from None
        gpu_memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        on = describe(device) | ({"cuda_graph": cuda_graph} if device.type == "cuda" else {})
    run = {
        "run_id": run_id,
        "spec": spec,
        "training_semantics": TRAINING_SEMANTICS,
        "status": outcome.status,
        "epochs": len(outcome.history),
        "data_sha256": data.sha256,
        "provenance": provenance.origin(on),
        "cost": provenance.cost(outcome.seconds, outcome.earlier_cpu_seconds, gpu_memory),
    }
    write_run(paths.run(study.scale, run_id), outcome.history, run)
    checkpoint.remove()
    return outcome
