"""Agents of KAgent whose replicas two controllers set."""

from collections.abc import Iterator

from policies.lint.finding import Fault, Severity
from policies.lint.kagent import AGENT, stated_replicas
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import scalers_by_target


@rule(
    "FS651",
    Severity.ERROR,
    on=AGENT,
    what="replicas of an agent that an autoscaler scales",
    fix="leave replicas out of the Agent",
    source="KAgent, Agent: spec.declarative.deployment.replicas, spec.byo.deployment.replicas",
)
def agent_states_replicas(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KAgent makes a Deployment of the agent's name and sets the number again that the Agent
    states; it does not scale agents by itself. An autoscaler on that Deployment is undone.
    """
    stated = stated_replicas(of)
    key = ("apps/Deployment", of.scope, of.name)
    for scaler in inputs.once(scalers_by_target).get(key, ()):
        if stated is not None:
            why = f"{scaler.title} scales its Deployment, and KAgent sets {stated[1]} again"
            yield Fault(at=stated[0], why=why, do="leave it out")
            return
