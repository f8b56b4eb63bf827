"""Trackers show a run elsewhere while it trains. Each is an optional package; a run's results are the same without.

Their files are in results/<scale>/tracking/<tracker>/. In all of them a run has its id as its name, its spec and scale
as its configuration, and the runs that differ by their seed alone are a group.
"""

import os
import sys
from pathlib import Path
from types import TracebackType

from sharpness import paths
from sharpness.jobs import COMPLETED, DIVERGED, Job

PROJECT = "sharpness"


class TensorBoard:
    """An event file a run: each column of the history by epoch, the spec, and the last epoch as a row of HPARAMS."""

    def __init__(self, job: Job, folder: Path, first_epoch: int):
        from torch.utils.tensorboard import SummaryWriter

        # What an earlier process wrote of this epoch and later ones is hidden.
        self._writer = SummaryWriter(str(folder / job.id), purge_step=first_epoch)
        self._spec = {key: value if isinstance(value, int | float) else str(value) for key, value in _spec(job).items()}
        self._last: dict[str, float] = {}

    def log(self, row: dict[str, float]) -> None:
        self._last = {name: value for name, value in row.items() if name != "epoch"}
        for name, value in self._last.items():
            self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self, status: str) -> None:
        if status in (COMPLETED, DIVERGED):
            final = {f"final/{name}": value for name, value in self._last.items()}
            self._writer.add_hparams(self._spec | {"status": status}, final, run_name=".")
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases: offline (`wandb sync` sends it later) unless WANDB_MODE says otherwise."""

    def __init__(self, job: Job, folder: Path, first_epoch: int):
        os.environ.setdefault("WANDB_MODE", "offline")
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"):
            os.environ.setdefault(name, str(folder.absolute()))  # instead of the user's home
        import wandb

        # Offline each process writes a run of its own; they have one id, as which `wandb sync --append` joins them.
        resume = None if os.environ["WANDB_MODE"] == "offline" else "allow"
        self._run = wandb.init(
            project=PROJECT,
            id=job.id,
            name=job.id,
            group=_group(job),
            tags=_tags(job),
            config=_spec(job),
            resume=resume,
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )

    def log(self, row: dict[str, float]) -> None:
        self._run.log(row, step=row["epoch"])

    def close(self, status: str) -> None:
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status in (COMPLETED, DIVERGED) else 1)


class Trackio:
    """A run of Trackio, in a database of its own folder unless the environment's TRACKIO_* say otherwise."""

    def __init__(self, job: Job, folder: Path, first_epoch: int):
        os.environ.setdefault("TRACKIO_DIR", str(folder.absolute()))  # instead of the user's home
        import trackio

        self._trackio = trackio
        trackio.init(
            project=PROJECT,
            name=job.id,
            group=_group(job),
            config=_spec(job) | {"tags": _tags(job)},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, row: dict[str, float]) -> None:
        self._trackio.log(row, step=row["epoch"])

    def close(self, status: str) -> None:
        self._trackio.finish()


TRACKERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "trackio": Trackio}


class Tracking:
    """The tracker of a run, in whose failure the run only loses its tracking.

    Args:
        name: one of TRACKERS, or "none".
        job: the run.

    Attributes:
        status: how the run has ended, for the tracker.
    """

    def __init__(self, name: str, job: Job):
        self.status = "stopped"
        self._name, self._job = name, job
        self._tracker: TensorBoard | WeightsAndBiases | Trackio | None = None
        self._is_off = name == "none"

    def __enter__(self) -> "Tracking":
        return self

    def update(self, history: list[dict[str, float]]) -> None:
        """Log the last epoch. The first call begins after the epochs of earlier processes, which it does not log."""
        if self._is_off:
            return
        try:
            if self._tracker is None:
                folder = paths.tracking(self._job.scale, self._name)
                folder.mkdir(parents=True, exist_ok=True)
                self._tracker = TRACKERS[self._name](self._job, folder, len(history) + 1)
            else:
                self._tracker.log(history[-1])
        except Exception as error:
            self._give_up(error)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._tracker is None or self._is_off:
            return
        try:
            self._tracker.close(self.status)
        except Exception as fault:
            self._give_up(fault)

    def _give_up(self, error: Exception) -> None:
        self._is_off = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"sharpness: warning: {self._job.id} goes on without {self._name}: {reason}", file=sys.stderr)


def _spec(job: Job) -> dict:
    return {"scale": job.scale, **job.spec}


def _group(job: Job) -> str:
    return job.slug.removesuffix(f"-seed{job.spec['seed']}")


def _tags(job: Job) -> list[str]:
    return [job.scale, job.spec["network"], job.spec["method"], f"seed {job.spec['seed']}"]
