"""A recorded node of eight GPUs, with launchers of Fast Model Actuation and a requester."""

import json
from pathlib import Path
from typing import Any

from fleet.cluster.pods import Pod, pod_of
from scheduler.launchers import Config

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "launchers" / "h100-8.json").read_text()
)
DOCUMENTS: list[dict[str, Any]] = RECORDED["pods"]
PODS: list[Pod] = [pod_of(one) for one in DOCUMENTS]
ANSWERS: dict[str, Any] = RECORDED["answers"]
"""Of launchers, by their address."""
QWEN = Config(namespace="llm", name="qwen3-32b")
LLAMA = Config(namespace="llm", name="llama-8b")
LLAMA_70B = Config(namespace="llm", name="llama-70b")
