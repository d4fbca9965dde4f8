"""What to take away from the nodes under a replay, in sentences: dollars and waits together."""

from collections.abc import Iterator

from foresail.replaying.nodes import NodeReport, NodeRow

_ALIKE_USD = 0.5


def node_verdict(report: NodeReport) -> Iterator[str]:
    """A sentence or two for each rule's replicas, then today against all of Foresail."""
    for alone, policy in report.pairs():
        yield from _beside(report, alone, policy)
    rows = report.rows
    if len(rows) > 2:  # noqa: PLR2004 - more than one rule
        today, ours = rows[2], rows[1]
        yield (
            f"Replicas and nodes together: {today.rule} with {today.by} costs {_told(today)};"
            f" {ours.rule} with {ours.by} costs {_told(ours)}."
        )


def _beside(report: NodeReport, alone: NodeRow, policy: NodeRow) -> Iterator[str]:
    more = policy.outcome.usd - alone.outcome.usd
    share = abs(more) / alone.outcome.usd if alone.outcome.usd else 0.0
    compared = (
        "as much as"
        if abs(more) < _ALIKE_USD
        else f"{usd(abs(more))} ({share:.1%}) {'MORE' if more > 0 else 'less'} than"
    )
    yield (
        f"Under the replicas of {policy.rule}, {policy.by} costs {_told(policy)}: {compared}"
        f" {alone.by}, with {_told(alone)}."
    )
    minute = report.governed.usd_per_delayed_minute
    waits = policy.outcome.delayed_minutes - alone.outcome.delayed_minutes
    net = more + waits * minute
    both = " It is dearer, and pods wait longer." if more >= _ALIKE_USD and waits > 0 else ""
    yield (
        f"A delayed pod-minute is worth {usd(minute)} by the policy; with the waits counted so, the"
        f" policy is {'dearer' if net > 0 else 'cheaper'} by {usd(abs(net))}.{both}"
    )


def _told(row: NodeRow) -> str:
    outcome = row.outcome
    return f"{usd(outcome.usd)} and {outcome.delayed_minutes:,.0f} delayed pod-minutes"


def usd(amount: float) -> str:
    """Whole dollars, cents where they count."""
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:,.2f}"  # noqa: PLR2004
