"""A toy problem as a job: its settings in, its tidy table out."""

import time

from sharpness import provenance, registry
from sharpness.jobs import COMPLETED, Job
from sharpness.settings import build


def compute(job: Job) -> bool:
    """Compute a toy problem of the study and write its data.csv and run.json, unless it has them.

    Returns:
        Whether it had been computed before, with the same result; its files are then left as they are.

    Raises:
        UserError: it had been computed before, with another result, or its files have been damaged since.
    """
    started = time.monotonic()
    module = registry.load("problems", job.kind, job.id)
    data = module.compute(build(module.Settings, job.spec, job.id, "spec"))
    text = data.to_csv(index=False, float_format="%.9g", na_rep="nan", lineterminator="\n")
    if job.has_result(text, COMPLETED):
        return True
    origin = provenance.origin({"device": "cpu"})
    job.write(text, COMPLETED, origin, provenance.cost(time.monotonic() - started))
    return False
