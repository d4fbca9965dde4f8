"""A cost report with what meters tell: where tokens are not known otherwise, theirs count."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from fleet.account.cost_book import token_costs
from fleet.metered import Metered, by_label
from foresail.cost.report import CostReport, MeteredModel
from foresail.meters.programs import MetersRead

_HOUR_SECONDS: Final = 3600.0


def with_meters(report: CostReport, read: MetersRead) -> CostReport:
    """The report of an hour with the tokens and dollars of meters.

    An engine counts each of its tokens, a meter those of the requests that it was told of. So the
    meter's count only where no engine's are known; of two meters, the one that knows more counts.
    """
    labels = {series.model for series in report.costs if series.model is not None}
    metered = {
        MeteredModel(by=meter, model=model): one.times(_HOUR_SECONDS)
        for meter, found in read.by_meter.items()
        for model, one in by_label(found, labels).items()
    }
    taken = _most(metered, labels - report.tokens.keys())
    tokens = {one.model: metered[one].tokens for one in taken}
    costs = token_costs(report.costs, _HOUR_SECONDS, tokens)
    return replace(
        report,
        metered=metered,
        tokens={**report.tokens, **costs},
        remarks=[
            *report.remarks,
            *(
                f"tokens of {one.model}: those that {one.by} was told of"
                for one in taken
                if one.model in costs
            ),
            *read.remarks,
        ],
    )


def _most(metered: Mapping[MeteredModel, Metered], models: Iterable[str]) -> list[MeteredModel]:
    """For each model, of the meters that know it, the one that counted the most tokens."""
    found = []
    for model in sorted(models):
        known = [one for one in metered if one.model == model]
        if known:
            found.append(max(known, key=lambda one: (metered[one].all_tokens, one.by)))
    return found
