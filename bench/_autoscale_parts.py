"""The shipped rule with one of its parts removed, each as a variant of its trigger.

A part that the trigger cannot switch off has no line here. What is removed is compared with the
whole at the usual setting, and at equal attainment with the quantile chosen in hindsight.
"""

from collections.abc import Sequence
from typing import Final

from bench._report import Row
from replay.policies.shipped import FORESAIL
from replay.policies.variants import name_of
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


def margins(rows: Sequence[Row]) -> list[Row]:
    """What each part adds, from the rows of `PARTS` on the same traffic in the same view."""
    removed = {name: part for part, name in PARTS.items()}
    whole = {
        (row["trace"], row["startup"], row["view"]): row
        for row in rows
        if row["policy"] == FORESAIL.name
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
