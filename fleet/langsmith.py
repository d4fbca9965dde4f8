"""LangSmith's answers about tokens and dollars by model: the statistics of runs."""

from collections.abc import Mapping, Sequence
from typing import Final

from fleet.documents import Json, is_object
from fleet.metered import Metered, Window, metered, moment, summed

STATS: Final = "runs/stats"
GROUPS_MAX: Final = 100
"""That are asked for; where there are so many, there may be more."""
_MODEL: Final = "ls_model_name"
"""The metadata in which LangSmith's clients and wrappers name the model."""


def stats_body(projects: Sequence[str], window: Window) -> Mapping[str, object]:
    """The body of `STATS`: calls of models, by the name of the model."""
    return {
        "session": list(projects),
        "run_type": "llm",
        "start_time": moment(window.begin_ms),
        "end_time": moment(window.end_ms),
        "group_by": {"attribute": "metadata", "path": _MODEL, "max_groups": GROUPS_MAX},
    }


def groups_of(answer: Json) -> Mapping[str, Json] | None:
    """The statistics of each model; None = of all together: the server does not group."""
    if any(not is_object(one) for one in answer.values()):
        return None
    return {name: one for name, one in answer.items() if is_object(one)}


def metered_of_groups(groups: Mapping[str, Json]) -> Mapping[str, Metered]:
    """The tokens and dollars of each model."""
    return summed(
        (
            name,
            metered(
                prompt=one.get("prompt_tokens"),
                generated=one.get("completion_tokens"),
                total=one.get("total_tokens"),
                usd=one.get("total_cost"),
            ),
        )
        for name, one in groups.items()
    )
