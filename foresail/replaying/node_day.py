"""`foresail policy day`: a generated day under a policy and under Karpenter alone, as a picture."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fleet.catalogue import shipped as catalogue
from foresail.replaying.node_picture import picture
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.nodes import governed_pool, nodes_on
from foresail.replaying.nodes_shown import node_table, pool_line, reason_table
from foresail.replaying.nodes_verdict import node_verdict
from foresail.replaying.plan import ReplayPlan
from replay.generated import generated
from replay.node_demand import demand_of
from replay.policies.shipped import FORESAIL
from replay.replay_input import draw_input
from replay.simulate import simulate
from replay.traffic import DAY_SECONDS
from scaler.errors import ForesailError

_DAYS = 3
"""One is past, one is played so that nothing begins at the drawn one, and one is drawn."""
_GPU = "h100-sxm"


def draw_day(
    question: NodeQuestion, *, shape: str, replicas_mean: float, seed: int, svg: Path
) -> None:
    """Play the days, draw the last one, and print its tables.

    Raises:
        ForesailError: the policy has faults or matches no pool, or the file cannot be written.
    """
    generation = catalogue().find(_GPU)
    usd_per_hour = generation.usd_per_hour if generation else None
    plan = ReplayPlan().model_copy(update={"gpu_usd_hour": usd_per_hour})
    governed = governed_pool(question, plan)
    console = Console()
    console.print(f"playing {_DAYS - 1} generated days of {shape}; it takes a minute or two")
    replay_input = draw_input(
        generated(seed=seed, days=_DAYS, shape=shape),
        plan.platform(round(8 * replicas_mean)),
        seed=seed,
        replicas_mean=replicas_mean,
    )
    ours = FORESAIL.make(replay_input, FORESAIL.usual)
    result = simulate(
        replay_input, ours, name="foresail", knob=FORESAIL.usual, seed=seed, marks=True
    )
    demand = demand_of(replay_input, result)
    of_day = replace(demand, judged_from_seconds=demand.seconds - DAY_SECONDS)
    report = nodes_on(governed, [of_day], seed=seed, console=console)
    title = f"A generated day ({shape}). {pool_line(report)}"
    try:
        svg.write_text(picture(report, title), encoding="utf-8")
    except OSError as error:
        raise ForesailError(f"{svg} cannot be written: {error.strerror}") from error
    console.print(node_table(report))
    console.print(reason_table(report))
    for sentence in (*node_verdict(report), f"picture: {svg}"):
        console.print(sentence, highlight=False)
