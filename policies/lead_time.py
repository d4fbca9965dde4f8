"""The lead time of a pool's new nodes, from what was learned of its starts."""

from fleet.account.lead_times import LeadTimes
from fleet.account.places import Place
from policies.situation import LeadTime


def lead_time_of(lead_times: LeadTimes, place: Place) -> LeadTime:
    """The lead time of a new node.

    Args:
        lead_times: of the cluster.
        place: of the pool, with the machine type, capacity type and zone as far as the new node's
            are known.
    """
    learned = lead_times.at(place)
    return LeadTime(
        boot_seconds=learned.with_retries.mean_seconds,
        boot_seconds_p90=learned.with_retries.p90_seconds,
        pull_seconds=learned.stages["image pulled"].mean_seconds,
        launch_failure_share=learned.failures.share,
        seen=learned.starts,
    )
