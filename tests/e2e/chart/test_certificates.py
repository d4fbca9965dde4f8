"""The certificates that the chart makes, in a real `foresail serve` under the chart's own settings.

KEDA's certificate may ask for replicas, the controller's for plans, and any other of the same
authority for neither.
"""

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import requests
import yaml

from scaler.rpc import externalscaler_pb2, externalscaler_pb2_grpc
from tests.e2e.chart.helm import CHART, Helm, of_kind
from tests.e2e.processes import Done, Program, done_unless_busy
from tests.prometheus import DEADLINE_SECONDS, free_port, wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time

CHART_MADE = CHART / "ci" / "chart-certificates.yaml"
HOST = "foresail.foresail.svc.cluster.local"
ANSWER_SECONDS_MAX = 120.0
"""Reached on failure only."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running server, and each Secret of the chart as files."""

    folder: Path
    grpc: int
    plans: int

    def file(self, secret: str, key: str) -> Path:
        return self.folder / secret / key

    def metric_spec(self, secret: str) -> externalscaler_pb2.GetMetricSpecResponse:
        """What KEDA asks first, under the certificate of a Secret."""
        credentials = grpc.ssl_channel_credentials(
            *(self.file(secret, key).read_bytes() for key in ("ca.crt", "tls.key", "tls.crt"))
        )
        options = [("grpc.ssl_target_name_override", HOST)]
        asked = externalscaler_pb2.ScaledObjectRef(
            name="qwen3-32b", namespace="llm", scalerMetadata={"model": "qwen3-32b"}
        )
        with grpc.secure_channel(f"127.0.0.1:{self.grpc}", credentials, options) as channel:
            stub = externalscaler_pb2_grpc.ExternalScalerStub(channel)
            return stub.GetMetricSpec(asked, timeout=ANSWER_SECONDS_MAX, wait_for_ready=True)

    def plans_read_by(self, secret: str) -> Done:
        """The command of `helm test`, for a server on loopback."""
        options = {"ca": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
        files = [f"--{name}={self.file(secret, key)}" for name, key in options.items()]
        command = [sys.executable, "-m", "foresail.cli", "plans", *files, "-o", "json"]
        return done_unless_busy(
            lambda: subprocess.run(
                [*command, f"--server=127.0.0.1:{self.plans}", f"--server-name={HOST}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=ANSWER_SECONDS_MAX,
            ),
            "foresail plans",
            # It waits ten seconds for an answer, and a server without a core has none then.
            busy=lambda done: any(
                code in done.stderr for code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
            ),
            deadline_seconds=DEADLINE_SECONDS,
        )


@pytest.fixture(scope="module")
def served(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    objects = helm.rendered(CHART_MADE)
    for one in of_kind(objects, "Secret"):
        for key, content in one.get("data", {}).items():
            path = folder / one["metadata"]["name"] / key
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(base64.b64decode(content))
    (found,) = [one for one in of_kind(objects, "ConfigMap") if "foresail.yaml" in one["data"]]
    settings = yaml.safe_load(
        found["data"]["foresail.yaml"].replace("/etc/foresail-tls", str(folder / "foresail-server"))
    )
    ports = Served(folder=folder, grpc=free_port(), plans=free_port())
    http = free_port()
    settings["listen"] = {"grpc": f"127.0.0.1:{ports.grpc}", "http": f"127.0.0.1:{http}"}
    settings["plans"]["listen"] = f"127.0.0.1:{ports.plans}"
    # No name of the cluster resolves here, and nothing is to be learned from the past.
    settings["state"] = {"directory": str(folder / "state")}
    settings["cycle"] = {"history": "0"}
    (folder / "foresail.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "foresail.cli", "serve", "--config"]
    program = Program("serve", [*command, str(folder / "foresail.yaml")], folder)
    program.start()

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{http}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    try:
        wait_for(answers, "foresail serve")
        yield ports
    finally:
        program.stop()


def test_keda_is_answered_under_its_certificate(served: Served) -> None:
    (spec,) = served.metric_spec("foresail-keda-client").metricSpecs
    assert spec.targetSize == 1


def test_the_replicas_may_ask_each_other(served: Served) -> None:
    assert served.metric_spec("foresail-server").metricSpecs


@pytest.mark.parametrize("secret", ["foresail-webhook", "foresail-plans-client"])
def test_another_certificate_of_the_same_authority_is_refused_as_keda(
    served: Served, secret: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        served.metric_spec(secret)
    assert refused.value.code() in {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }


def test_the_controller_and_helm_test_read_plans_under_theirs(served: Served) -> None:
    done = served.plans_read_by("foresail-plans-client")
    assert (done.returncode, done.stderr) == (0, "")


def test_keda_reads_no_plans(served: Served) -> None:
    done = served.plans_read_by("foresail-keda-client")
    assert done.returncode == 1
    assert "keda-operator" in done.stderr or "PERMISSION_DENIED" in done.stderr, done.stderr
