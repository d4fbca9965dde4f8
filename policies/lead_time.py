"""The lead time of a pool's new nodes, from what was learned of its starts."""

from fleet.account.lead_times import MEAN_SECONDS_MAX, LeadTimes
from fleet.account.places import Place
from policies.situation import LeadTime


def lead_time_of(lead_times: LeadTimes, place: Place) -> LeadTime:
    """The lead time of a new node.

    A machine that hangs for days is only known to take longer than that. Two of eight would make it
    the .9 quantile, and the schedule's nodes would be ordered days ahead; so the quantile counts at
    most what such a machine counts in the mean. `fleet.account.watchdog` names the machine.

    Args:
        lead_times: of the cluster.
        place: of the pool, with the machine type, capacity type and zone as far as the new node's
            are known.
    """
    learned = lead_times.at(place)
    return LeadTime(
        boot_seconds=learned.with_retries.mean_seconds,
        boot_seconds_p90=min(learned.with_retries.p90_seconds, MEAN_SECONDS_MAX),
        pull_seconds=learned.stages["image pulled"].mean_seconds,
        launch_failure_share=learned.failures.share,
        seen=learned.starts,
    )


class PoolLeadTimes:
    """The lead times of pools; each is found once for all rounds that go by the same starts."""

    def __init__(self, learned: LeadTimes) -> None:
        self.learned = learned
        self._of_pools: dict[str, LeadTime] = {}

    def of(self, pool: str) -> LeadTime:
        """The lead time of a pool, by its name."""
        if pool not in self._of_pools:
            self._of_pools[pool] = lead_time_of(self.learned, Place(pool=pool))
        return self._of_pools[pool]
