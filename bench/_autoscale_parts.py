"""The shipped rule with one of its parts removed, each as a variant of its trigger.

A part that the trigger cannot switch off has no line here. What is removed is compared with the
whole at the usual setting, and at equal attainment with the quantile chosen in hindsight.

`PARTS` are removed from the rule that is told the truth, `ABLATION` from the one that is told the
model's name alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bench._report import Row
from replay.policies.shipped import FORESAIL
from replay.policies.variants import name_of
from replay.policies.without import Part
from replay.replay_input import USED_RATIO
from replay.trigger import Overrides

PARTS: Final = {
    "nothing": FORESAIL.name,
    "margin on capacity": name_of(Overrides(capacity=1 / USED_RATIO)),
    "head-room": name_of(Overrides(keys=(("utilization", "1"),))),
    "quantile": name_of(Overrides(keys=(("quantile", "0.5"),))),
    "hold": name_of(Overrides(keys=(("hold", "0s"),))),
    "forecast and hold": name_of(Overrides(keys=(("mode", "reactive"),))),
    "learned capacity": name_of(Overrides(keys=(("capacity", "fixed"),))),
    "learned lead time": name_of(Overrides(keys=(("lead", "fixed"),))),
    "capacity given": name_of(Overrides(capacity=None)),
    "lead time given": name_of(Overrides(lead=None)),
    "all that is given": name_of(Overrides(capacity=None, lead=None)),
}
"""What is removed → the variant.

The load test's figure has a margin: `USED_RATIO` of the mean-field capacity is what a fleet serves
in time. With all that is given removed the rule knows the model's name alone.
"""


_TOLD_NAME: Final = Overrides(capacity=None, lead=None)


def _ablated(*keys: tuple[str, str], without: Part | None = None) -> str:
    return name_of(replace(_TOLD_NAME, keys=keys, without=without))


ABLATION: Final = {
    "nothing": _ablated(),
    "forecast": _ablated(without=Part.FORECAST),
    "tail": _ablated(without=Part.TAIL),
    "plan": _ablated(("quantile", "0.95")),
    "floor": _ablated(without=Part.FLOOR),
    "correction": _ablated(("tuning", "fixed")),
    "learned capacity": _ablated(("capacity", "fixed")),
    "learned lead time": _ablated(("lead", "fixed")),
}
"""What is switched off → the variant.

Without the forecast the present with head-room is held; without its tail only the median of demand
is planned for; without the plan the 0.95 quantile at the lead time is, in place of the cost over
the horizon; without the floor the plan may be below what the present and its queue need; without
the correction late requests do not make the setting more careful. Without what is learned the
preset's capacity, or its lead time of 5 minutes, stays.
"""


def margins(
    rows: Sequence[Row], parts: Mapping[str, str] = PARTS, *, whole_name: str = FORESAIL.name
) -> list[Row]:
    """What each part adds, from the rows of the parts on the same traffic in the same view."""
    removed = {name: part for part, name in parts.items()}
    whole = {
        (row["trace"], row["startup"], row["view"]): row
        for row in rows
        if row["policy"] == whole_name
    }
    found: list[Row] = []
    for row in rows:
        part = removed.get(str(row["policy"]))
        base = whole.get((row["trace"], row["startup"], row["view"]))
        if part is None or base is None:
            continue
        hours, attainment = row["gpu_hours"], row["attainment"]
        known = isinstance(hours, float) and isinstance(base["gpu_hours"], float)
        found.append(
            {
                "trace": row["trace"],
                "startup": row["startup"],
                "view": row["view"],
                "removed": part,
                "gpu_hours": hours,
                "whole_ratio": hours / base["gpu_hours"] if known else None,  # type: ignore[operator]
                "attainment": attainment,
                "oracle_ratio": row["oracle_ratio"],
            }
        )
    return found
