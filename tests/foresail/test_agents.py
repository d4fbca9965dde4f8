"""A model's demand is explained by the agents that call it, and an agent that scales leads it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from foresail.callers.agent_graph import Agent, agent_graph
from foresail.cli import main
from policies.lint.finding import Severity
from policies.lint.objects import Inputs, objects_of
from tests.cpu_time import cpu_seconds
from tests.lint.manifests import lint

FILE = Path(__file__).parents[1] / "fixtures" / "kagent.yaml"
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8")))


def graph_of(*documents: dict[str, Any]) -> Any:
    objects = [one for document in documents for one in objects_of(document, "agents.yaml")]
    return agent_graph(Inputs(objects=objects))


def test_the_demand_of_a_model_is_explained_by_its_agents() -> None:
    graph = graph_of(*DOCUMENTS)

    models = {one.model: one for one in graph.models}
    assert {name: one.scaled_object for name, one in models.items()} == {
        "qwen3-32b": "llm/qwen3-32b",
        "llama-70b": "llm/llama-70b",
    }
    # Of v1alpha2 through a Service, of v1alpha3 and v1alpha2 through an HTTPRoute and its pool.
    assert models["qwen3-32b"].agents == (
        Agent(name="agents/research", replicas=2, scaled_by=None),
        Agent(name="agents/reviewer", replicas=None, scaled_by=None),
        Agent(name="agents/support", replicas=6, scaled_by="ScaledObject agents/support"),
    )
    assert models["llama-70b"].gateway == "litellm"
    assert graph.left_out == (
        "Agent agents/own: it names no ModelConfig: what it calls is in its own image",
        (
            "Agent agents/cloud: ModelConfig agents/default-model-config asks OpenAI itself, "
            "outside of this cluster"
        ),
    )


def test_an_agent_that_scales_leads_its_model_through_the_gateway_that_counts_its_calls() -> None:
    printed = CliRunner().invoke(main, ["agents", "-f", str(FILE)]).output

    assert printed.splitlines()[:9] == [
        "# llama-70b (llm/llama-70b, through litellm): 1 agent, ? replicas",
        "#   agents/writer: ? replicas",
        (
            "# in the metadata of the trigger of llm/llama-70b: calls of agents, as the gateway "
            "counts them, lead the forecast"
        ),
        "gateway: litellm",
        "# qwen3-32b (llm/qwen3-32b): 3 agents, ? replicas",
        "#   agents/research: 2 replicas",
        "#   agents/reviewer: ? replicas",
        "#   agents/support: 6 replicas, scaled by ScaledObject agents/support",
        (
            "# its agents scale, and nothing counts their calls before the engine does: "
            "a gateway between them would lead the forecast"
        ),
    ]


def test_shares_are_those_of_replicas_where_all_are_known() -> None:
    known = [one for one in DOCUMENTS if one["kind"] != "AgentTemplate"]
    text = "\n---\n".join(yaml.safe_dump(one) for one in known)

    printed = CliRunner().invoke(main, ["agents", "-f", "-", "-o", "json"], input=text).output

    (qwen,) = (one for one in json.loads(printed)["models"] if one["model"] == "qwen3-32b")
    assert {one["agent"]: one["share"] for one in qwen["agents"]} == {
        "agents/research": 0.25,
        "agents/support": 0.75,
    }


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("ModelConfig", "there is no ModelConfig agents/qwen here"),
        ("HTTPRoute", "no Service or HTTPRoute here has the host 'models.example.org' of"),
        ("ScaledObject", "Deployment llm/qwen3-32b serves ModelConfig agents/qwen, and no trigger"),
    ],
)
def test_an_agent_that_cannot_be_attributed_is_named_with_the_reason(
    missing: str, why: str
) -> None:
    graph = graph_of(*(one for one in DOCUMENTS if one["kind"] != missing))

    (said,) = (one for one in graph.left_out if one.startswith("Agent agents/support: "))
    assert why in said


def test_a_model_name_of_several_lines_adds_no_line_to_paste() -> None:
    hostile = [
        one | {"spec": one["spec"] | {"model": "llama\nmode: act\x1b[2J"}}
        if one["kind"] == "ModelConfig"
        else one
        for one in DOCUMENTS
    ]
    text = "\n---\n".join(yaml.safe_dump(one) for one in hostile)

    printed = CliRunner().invoke(main, ["agents", "-f", "-"], input=text).output

    assert r"# llama\nmode: act\x1b[2J (" in printed
    assert "\nmode: act" not in printed


@pytest.mark.parametrize("version", ["v1alpha2", "v1alpha3"])
def test_an_agent_whose_replicas_two_controllers_set_is_found(version: str) -> None:
    agent = {
        "apiVersion": f"kagent.dev/{version}",
        "kind": "Agent",
        "metadata": {"name": "support", "namespace": "agents"},
        "spec": {"declarative": {"modelConfig": "qwen", "deployment": {"replicas": 2}}},
    }
    (scaler,) = (
        one
        for one in DOCUMENTS
        if one["kind"] == "ScaledObject" and one["metadata"]["namespace"] == "agents"
    )

    (found,) = (one for one in lint(agent, scaler) if one.rule == "FS651")

    assert found.severity is Severity.ERROR
    assert found.message == (
        "Agent agents/support: spec.declarative.deployment.replicas is 2: ScaledObject "
        "agents/support scales its Deployment, and KAgent sets 2 again; leave it out"
    )
    assert "FS651" not in {one.rule for one in lint(agent)}


def test_many_agents_many_routes_and_many_workloads_of_one_host_take_little_time() -> None:
    """Each of them is a tenant's to make; 60 of each took six seconds, and twice as many 48."""
    documents: list[dict[str, Any]] = []

    def add(api: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": "a"}
        documents.append({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})

    pods = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"image": "vllm"}]}}
    for number in range(60):
        config = {"model": "m", "openAI": {"baseUrl": f"http://h{number}.llm.example/v1"}}
        agent = {"declarative": {"modelConfig": f"config-{number}"}}
        route = {
            "hostnames": ["*.llm.example"] * 16,
            "rules": [{"backendRefs": [{"name": f"service-{number}"}]}],
        }
        add("kagent.dev/v1alpha2", "Agent", f"agent-{number}", agent)
        add("kagent.dev/v1alpha2", "ModelConfig", f"config-{number}", config)
        add("gateway.networking.k8s.io/v1", "HTTPRoute", f"route-{number}", route)
        add("v1", "Service", f"service-{number}", {"selector": {"app": "x"}})
        add("apps/v1", "Deployment", f"deployment-{number}", {"template": pods})
    graph = graph_of(*documents)
    assert cpu_seconds(lambda: graph_of(*documents)) < 1.5
    assert len(graph.left_out) == 60
    assert "Deployment a/deployment-0 serves ModelConfig a/config-7, and no" in graph.left_out[7]
