"""KAgent's agents and model configurations, of both of its API versions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fleet.documents import Json, is_object, part, text
from policies.lint.finding import Path
from policies.lint.objects import Inputs, Object

AGENT: Final = "kagent.dev/Agent"
AGENT_TEMPLATE: Final = "kagent.dev/AgentTemplate"
"""What v1alpha3 has in place of a declarative Agent."""
MODEL_CONFIG: Final = "kagent.dev/ModelConfig"
_URLS: Final = ("baseUrl", "host", "azureEndpoint", "endpoint")
_NO_PROVIDERS: Final = frozenset({"defaultHeaders", "tls"})
"""Blocks beside those of providers."""
_KINDS: Final = ("declarative", "byo")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The model that agents ask, and where."""

    object: Object
    model: str
    provider: str
    url: str | None
    """None = the provider's own."""


def agents(inputs: Inputs) -> Iterator[Object]:
    """Once each, whichever versions of them were read."""
    seen: set[tuple[str, str]] = set()
    for one in inputs.of(AGENT, AGENT_TEMPLATE):
        if (one.scope, one.name) not in seen:
            seen.add((one.scope, one.name))
            yield one


def model_config_of(agent: Object) -> tuple[str, str] | None:
    """Scope and name of the ModelConfig that an agent uses; None = it names none.

    KAgent takes `default-model-config` for a declarative agent that names none.
    """
    given = part(agent.spec, "declarative").get("modelConfig") or agent.spec.get("modelConfig")
    if is_object(given):  # a reference of v1alpha3
        name, scope = text(given, "name"), text(given, "namespace") or agent.scope
    else:
        name, scope = given if isinstance(given, str) else None, agent.scope
        if name is not None and "/" in name:
            scope, _, name = name.partition("/")
    if name is None and is_object(agent.spec.get("declarative")):
        name = "default-model-config"
    return None if name is None else (scope, name)


def model_config(of: Object) -> ModelConfig:
    urls = (
        url
        for name, block in of.spec.items()
        if is_object(block) and name not in _NO_PROVIDERS
        for key in _URLS
        if (url := text(block, key)) is not None
    )
    return ModelConfig(
        object=of,
        model=text(of.spec, "model") or "",
        provider=text(of.spec, "provider") or "?",
        url=next(urls, None),
    )


def stated_replicas(agent: Object) -> tuple[Path, int] | None:
    """The replicas that an Agent states for its Deployment, and where; None = it states none."""
    for kind in _KINDS:
        deployment: Json = part(agent.spec, kind, "deployment")
        replicas = deployment.get("replicas")
        if isinstance(replicas, int) and not isinstance(replicas, bool):
            return ("spec", kind, "deployment", "replicas"), replicas
    return None
