"""Every term of the score, in the order in which they are shown."""

from typing import Final

from scheduler.score.bus_bandwidth import BUS_BANDWIDTH
from scheduler.score.columns import Term
from scheduler.score.hot_start import HOT_START
from scheduler.score.islands import ISLANDS
from scheduler.score.preference import ALTERNATIVES, CLIQUES, GROUP, IMAGE, PRICE, WEIGHTS
from scheduler.score.rule import BEGUN_NODES, EXPECTED_PODS
from scheduler.score.scarcity import GPU_MODELS, WIDE_PLACES

TERMS: Final[tuple[Term, ...]] = (
    EXPECTED_PODS,
    BEGUN_NODES,
    WIDE_PLACES,
    GPU_MODELS,
    PRICE,
    ALTERNATIVES,
    ISLANDS,
    BUS_BANDWIDTH,
    IMAGE,
    WEIGHTS,
    HOT_START,
    CLIQUES,
    GROUP,
)


def table() -> str:
    """The table of docs/scheduler.md."""
    rows = (f"| `{term.name}` | {term.meaning} | {term.amount} |" for term in TERMS)
    return "\n".join(
        ("| term | for or against a node | thousandths of a GPU |", "|---|---|---|", *rows)
    )
