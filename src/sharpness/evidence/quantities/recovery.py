"""How much nearer to X* a law ends than gradient descent does, on over-parametrised matrix sensing."""

from dataclasses import dataclass

import numpy as np

from sharpness.errors import SettingError, not_known
from sharpness.evidence.quantity import Results
from sharpness.evidence.theory import OfProblem, require_laws
from sharpness.evidence.verdicts import Sample
from sharpness.settings import require
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class Recovery(OfProblem):
    """Gradient descent's distance to X* at the end less the law's, by draw, from starts of one scale at one radius.

    A descent that diverges counts as at the distance 1, where U = 0 is.
    """

    rho: float
    scale: float

    def check(self, study: Study) -> None:
        jobs = study.jobs_of(self.problem, "sensing_flatness")
        super().check(study)
        require(self.law != "gd", "law is gd, which it is compared with; choose another")
        require_laws(jobs, ("gd",))
        for name in ("rho", "scale"):
            if getattr(self, name) not in jobs[0].spec[name]:
                raise SettingError(not_known(name, f"{getattr(self, name):g}", map(str, jobs[0].spec[name])))

    def measure(self, results: Results) -> Sample:
        frame = results.problem(self.problem)
        last = frame[(frame["step"] == frame["step"].max()) & (frame["scale"] == self.scale)]
        distance = last.assign(distance=last["distance"].where(np.isfinite(last["distance"]), 1.0))
        plain = distance[distance["law"] == "gd"].set_index("draw")["distance"]
        own = distance[(distance["law"] == self.law) & (distance["rho"] == self.rho)].set_index("draw")["distance"]
        return Sample((plain - own).dropna().to_numpy(), "draws")


QUANTITY = Recovery
