"""`foresail agents`: which agents call which model, and what to paste into its trigger."""

from foresail.callers.agent_graph import Agent, AgentGraph, CalledModel
from scaler.message_text import printable


def text(graph: AgentGraph) -> str:
    """For people: each model with its agents, and the lines for its trigger."""
    lines: list[str] = []
    for one in graph.models:
        lines.append(f"# {_title(one)}: {_count(len(one.agents))}{_all_replicas(one)}")
        lines += [f"#   {agent.name}: {_of(agent, one)}" for agent in one.agents]
        lines += _paste(one)
    if not graph.models:
        lines.append("# no agent here calls a model that Foresail plans")
    lines += [f"# left out: {one}" for one in graph.left_out]
    # Names come from objects that tenants write: a line end in one would be a line to paste.
    return "".join(f"{printable(line)}\n" for line in lines)


def payload(graph: AgentGraph) -> dict[str, object]:
    """The same as JSON, with null for what is not known."""
    return {
        "models": [
            {
                "model": one.model,
                "scaled_object": one.scaled_object,
                "gateway": one.gateway,
                "agents": [
                    {
                        "agent": agent.name,
                        "replicas": agent.replicas,
                        "share": _share(agent, one),
                        "scaled_by": agent.scaled_by,
                    }
                    for agent in one.agents
                ],
            }
            for one in graph.models
        ],
        "left_out": list(graph.left_out),
    }


def _title(one: CalledModel) -> str:
    where = one.scaled_object or "no ScaledObject here plans it"
    return f"{one.model} ({where}{f', through {one.gateway}' if one.gateway else ''})"


def _count(agents: int) -> str:
    return f"{agents} agent{'s' if agents != 1 else ''}"


def _all_replicas(one: CalledModel) -> str:
    return f", {'?' if one.replicas is None else one.replicas} replicas"


def _of(agent: Agent, model: CalledModel) -> str:
    replicas = "?" if agent.replicas is None else str(agent.replicas)
    share = _share(agent, model)
    part = f"{replicas} replicas" + ("" if share is None else f", {share:.0%} of its agents")
    return part + (f", scaled by {agent.scaled_by}" if agent.scaled_by else "")


def _share(agent: Agent, model: CalledModel) -> float | None:
    """Of the replicas of all agents of the model; None = it is not known."""
    if agent.replicas is None or not model.replicas:
        return None
    return agent.replicas / model.replicas


def _paste(one: CalledModel) -> list[str]:
    """The lines for the trigger, where the calls of the agents can lead its forecast."""
    if one.scaled_object is None:
        return []
    if one.gateway is not None:
        return [
            (
                f"# in the metadata of the trigger of {one.scaled_object}: calls of agents, as the "
                "gateway counts them, lead the forecast"
            ),
            f"gateway: {one.gateway}",
        ]
    if any(agent.scaled_by for agent in one.agents):
        return [
            (
                "# its agents scale, and nothing counts their calls before the engine does: "
                "a gateway between them would lead the forecast"
            )
        ]
    return []
