"""A job: one thing that the study computes and keeps, such as a training run or a sweep of a toy problem.

A job is its spec, one flat JSON object. Its id is a readable slug with a short hash of the canonical JSON and of the
version of the semantics, so a changed setting is a new path, and equal jobs are one job, whoever asks for them.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sharpness import files, records
from sharpness.errors import UserError

TRAINING = "training"
COMPLETED = "completed"
DIVERGED = "diverged"


@dataclass(frozen=True, eq=False)
class Job:
    """Something that the study computes at a scale, and what it leaves: a data file and run.json beside it.

    Attributes:
        kind: "training", or a kind of problem (a module of sharpness.problems).
        spec: everything that defines it: a flat JSON object.
        semantics: version of what the code of its kind computes for a spec.
        slug: what a reader wants to know of it, the first part of its id.
        scale: whose results it belongs to.
    """

    kind: str
    spec: dict
    semantics: int
    slug: str
    scale: str

    @cached_property
    def id(self) -> str:
        digest = hashlib.sha256(f"{self.semantics}\n{canonical(self.spec)}".encode()).hexdigest()
        return f"{self.slug}-{digest[:10]}"

    @property
    def folder(self) -> Path:
        return Path("results") / self.scale / self.kind / self.id

    @property
    def data(self) -> Path:
        """What it has computed: a training run's history by epoch, or a problem's tidy table."""
        return self.folder / ("history.csv" if self.kind == TRAINING else "data.csv")

    @property
    def run(self) -> Path:
        """run.json: what the job is, where its data came from and what they cost. A folder that has one is complete."""
        return self.folder / "run.json"

    @property
    def files(self) -> list[Path]:
        return [self.data, self.run]

    @property
    def checkpoint(self) -> Path:
        """Outside the job's folder, since Snakemake deletes a failed job's outputs."""
        return Path("results") / self.scale / "checkpoints" / f"{self.id}.pt"

    @property
    def unfinished(self) -> Path:
        """Where a training run shows how far it is; gone when it is finished (sharpness.progress)."""
        return Path("results") / self.scale / "unfinished" / self.id

    def is_finished(self) -> bool:
        """Whether its files are there; `read` also checks them."""
        return all(file.exists() for file in self.files)

    def write(self, data: str, status: str, provenance: dict, cost: dict, **more: object) -> None:
        """Write the data file, then run.json with its SHA-256.

        Args:
            data: text of the data file.
            status: COMPLETED or DIVERGED.
            provenance, cost: as sharpness.provenance gives them.
            more: what else run.json says of this kind of job.
        """
        files.write_text(self.data, data)
        description = {"id": self.id, "kind": self.kind, "spec": self.spec, "semantics": self.semantics}
        run = {**description, "status": status, **more, "provenance": provenance, "cost": cost}
        records.write(self.run, {**run, "sha256": files.sha256(self.data)})

    def has_result(self, data: str, status: str, **more: object) -> bool:
        """Whether the job was finished before, and with this very result; takes what `write` takes, but for the costs.

        What the recorded result lacks because it was added since is not a difference.

        Raises:
            UserError: as `read`, or it was finished with another result, which stays.
        """
        if not self.is_finished():
            return False
        run, recorded = self.read(), self.data.read_text(encoding="utf-8")
        now = {"status": status, **more}
        found = [
            f"{key} is {value!r} and was {run.get(key)!r}" for key, value in now.items() if run.get(key, value) != value
        ]
        if found := [*found, *_differences(recorded, data)]:
            raise UserError(
                f"{self.data}: repeated, the job gives another result: {found[0]}; the recorded one stays. Its "
                f"run.json has the machine and versions that gave it; to replace it, delete {self.folder} and run again"
            )
        return True

    def read(self) -> dict:
        """run.json, after checking that it and the data file are this job's.

        Raises:
            UserError: a file is missing, unreadable or cut short, was changed after the job, or belongs to another one.
        """
        try:
            return self.check(self.run.read_bytes(), self.data.read_bytes())
        except FileNotFoundError as error:
            raise UserError(f"{error.filename}: no such file; run the job first") from None
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None

    def check(self, run: bytes, data: bytes, where: str = "") -> dict:
        """The content of a run.json, after checking that it and that of a data file are this job's.

        Args:
            run, data: the files' content.
            where: what holds them, before their paths, for the message.

        Raises:
            UserError: one of them is damaged, was changed after the job, or belongs to another one.
        """
        again = f"delete {self.folder} and run again"
        try:
            # A run that is older than the seals has none; a repetition or the manifest vouches for it.
            described = records.parse(run, records.RUN, sealed=False)
        except ValueError as reason:
            raise UserError(f"{where}{self.run}: {reason}; restore it, or {again}") from None
        if described["id"] != self.id or canonical(described["spec"]) != canonical(self.spec):
            raise UserError(f"{where}{self.run}: does not describe this job; {again}")
        if described["sha256"] != hashlib.sha256(data).hexdigest():
            raise UserError(
                f"{where}{self.data}: not the file that its run.json describes (cut short, or changed by hand); "
                f"restore it, or {again}"
            )
        return described


def _differences(recorded: str, repeated: str) -> Iterator[str]:
    """Where a CSV table has other values than the recorded one, in the columns that this has."""
    before, now = (list(csv.DictReader(io.StringIO(text))) for text in (recorded, repeated))
    if len(before) != len(now):
        yield f"{len(now)} rows, which were {len(before)}"
    for line, (old, new) in enumerate(zip(before, now, strict=False), 2):
        for column, value in old.items():
            if new.get(column) != value:
                yield f"in line {line} {column} is {new.get(column, 'absent')} and was {value}"


def canonical(spec: dict) -> str:
    """The one JSON text of a spec: sorted keys, no spaces."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
