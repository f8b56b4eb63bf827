"""How far the largest Hessian eigenvalue settles from its edge."""

from dataclasses import dataclass

from sharpness.evidence.quantity import Results
from sharpness.evidence.theory import OfProblem
from sharpness.evidence.verdicts import Sample
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class EdgeDistance(OfProblem):
    """Eigenvalue over edge, less 1: the mean over the second half of the steps, by descent."""

    def check(self, study: Study) -> None:
        study.jobs_of(self.problem, "edge_of_stability")
        super().check(study)

    def measure(self, results: Results) -> Sample:
        rows = self.rows(results)
        late = rows[rows["step"] >= rows["step"].max() / 2]
        off = late["eigenvalue"] / late["edge"] - 1
        return Sample(off.groupby([late["learning_rate"], late["rho"]]).mean().to_numpy(), "descents")


QUANTITY = EdgeDistance
