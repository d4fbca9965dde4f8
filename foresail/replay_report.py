"""What a replay found, for its table, its JSON and its page."""

from dataclasses import dataclass

from replay.course import Course
from replay.frontier import Point, at_attainment
from replay.race import Result

FORESAIL = "foresail"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """What a page is made from; results of one seed."""

    course: Course
    attainment: float
    usual: dict[str, Result]
    """By policy, with marks."""
    oracle: list[Result]
    sweeps: dict[str, list[Result]]
    """By policy; empty where only usual settings ran."""
    gpu_usd_hour: float | None

    def best(self, attainment: float) -> Point | None:
        """The oracle's place at this attainment, or its dearest schedule."""
        if not self.oracle:
            return None
        most = max(result.attainment for result in self.oracle)
        return at_attainment(self.oracle, min(attainment, most))

    def rival(self) -> Result | None:
        """The peer to draw beside Foresail.

        Of those that scale and cost its double at most: the one most in time, then the cheapest.
        """
        peers = [result for name, result in self.usual.items() if name != FORESAIL]
        dearest = 2 * self.usual[FORESAIL].gpu_hours
        alike = [r for r in peers if r.gpu_hours <= dearest and not r.policy.startswith("static")]
        return max(
            alike or peers, key=lambda r: (round(r.attainment, 2), -r.gpu_hours), default=None
        )
