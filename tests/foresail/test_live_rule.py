"""The live rule of a model's pods, from a cluster's API server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from foresail.backtest.prometheus_backtest import live_rule
from foresail.backtest.served_pods import ServedPods
from scaler.errors import ForesailError
from tests.fleet.api_server import ApiServer

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

PODS = ServedPods(namespace="llm", names=("llama-70b-7d9f-abcde", "llama-70b-7d9f-fghij"))


def scaled_object(name: str, target: str, threshold: str) -> dict[str, Any]:
    query = f'sum(vllm:num_requests_waiting{{model_name="{name}"}})'
    trigger = {"type": "prometheus", "metadata": {"query": query, "threshold": threshold}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": "llm"},
        "spec": {
            "scaleTargetRef": {"name": target},
            "minReplicaCount": 2,
            "maxReplicaCount": 9,
            "cooldownPeriod": 420,
            "triggers": [trigger],
        },
    }


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    one.serve(
        "/apis/keda.sh/v1alpha1/scaledobjects",
        "ScaledObject",
        scaled_object("other", "llama", "5"),
        scaled_object("chat", "llama-70b", "8"),
    )
    made_by_keda = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-chat", "namespace": "llm"},
        "spec": {"scaleTargetRef": {"name": "llama-70b"}, "maxReplicas": 9},
    }
    one.serve(
        "/apis/autoscaling/v2/horizontalpodautoscalers", "HorizontalPodAutoscaler", made_by_keda
    )
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    file = tmp_path / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "a", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "any"}}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


async def test_the_scaler_with_the_longest_name_that_the_pods_begin_with(kubeconfig: Path) -> None:
    rule = await live_rule("prod", kubeconfig, PODS)
    assert rule.title == "ScaledObject llm/chat"
    assert [metric.target for metric in rule.metrics] == [8]
    scaled = rule.scaled
    assert (scaled.replicas_min, scaled.replicas_max) == (2, 9)
    assert scaled.cooldown_period_seconds == 420


async def test_pods_that_nothing_scales_are_told_with_what_is_there(kubeconfig: Path) -> None:
    pods = ServedPods(namespace="llm", names=("qwen-0",))
    with pytest.raises(ForesailError, match="no ScaledObject or HPA scales the pods") as refused:
        await live_rule("prod", kubeconfig, pods)
    assert "ScaledObject llm/chat" in str(refused.value)
