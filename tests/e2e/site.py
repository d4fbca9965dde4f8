"""Foresail in its place between a real Prometheus and a real KEDA."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic  # noqa: TID251 - processes live in real time
from typing import Any, Protocol

import requests
import yaml

from tests.contracts.certificates import Authority
from tests.e2e.bed import READY_SECONDS, Bed
from tests.e2e.names import NameServer
from tests.e2e.pages import PageServer
from tests.e2e.picker import Picker
from tests.e2e.processes import Program
from tests.e2e.workload_objects import (
    NAMESPACE,
    deployment,
    documents,
    scaled_object,
    trigger_metadata,
)
from tests.prometheus import Job, PrometheusServer, free_port

IMPATIENT = {"cooldownPeriod": 1, "initialCooldownPeriod": 1}
"""To zero as soon as KEDA sees nothing asked, and by each poll that it takes for such a one."""
ANSWER_SECONDS_MAX = 60
"""No process stands still for so long on a busy machine."""
SHORT_ANSWER_SECONDS = 6
"""For tests that wait for KEDA's fallback."""
SERVICE = "foresail.foresail.svc.cluster.local"
"""The headless Service of the examples."""
ADDRESSES = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
"""Servers behind it, as far as they run."""
CLIENT_SECRET = "foresail-keda-client"


class Exports(Protocol):
    """A page of metrics."""

    def __call__(self, name: str, **labels: str) -> float: ...


@dataclass
class Record:
    """Every count that a Deployment was asked for, in order."""

    counts: list[int] = field(default_factory=list)
    at_seconds: list[float] = field(default_factory=list)

    def take(self, deployment: Mapping[str, Any]) -> None:
        count = int(deployment["spec"]["replicas"])
        if not self.counts or self.counts[-1] != count:
            self.counts.append(count)
            self.at_seconds.append(monotonic())


class Site:
    """What the tests turn, and what they look at."""

    def __init__(self, bed: Bed, *, answer_seconds_max: int = ANSWER_SECONDS_MAX) -> None:
        self.bed = bed
        folder = bed.folder / "site"
        folder.mkdir()
        self.picker = Picker(model="one")
        self.engines_page: Callable[[], str] = str
        """Of the vLLM replicas that a test lets serve; empty = none does."""
        self._pages = {
            "picker": PageServer(self.picker.page),
            "engines": PageServer(lambda: self.engines_page()),  # noqa: PLW0108 - of the day
        }
        self.prometheus = PrometheusServer(folder / "prometheus")
        self.port = free_port()
        self._http = {name: free_port() for name in ADDRESSES}
        self._folder = folder
        self._client = (b"", b"", b"")
        self._answer_seconds_max = answer_seconds_max
        self.servers: dict[str, Program] = {}
        self._names = NameServer(SERVICE, self._serving)

    def begin(self, *scraped: Job) -> None:
        """Prometheus, certificates, the trigger authentication of the examples, one server.

        Args:
            scraped: beside the engines and the picker.
        """
        for name in ("triggerauthentication.yaml", "triggerauthentication-namespaced.yaml"):
            self.bed.apply(*documents(name))
        self.trust(self.bed.authority)
        self.prove(self.bed.authority)
        self.prometheus.configure(
            *(
                Job(name=name, address=page.address, labels={"namespace": NAMESPACE})
                for name, page in self._pages.items()
            ),
            *scraped,
        )
        self.prometheus.start()
        self.serve("a")
        # Until the first scrape there is nothing to read, and KEDA's fallback would act.
        self.bed.wait(
            lambda: "llm_d_epp_request_running" in self.prometheus.names(), "the first scrape"
        )

    def end(self) -> None:
        for server in self.servers.values():
            server.stop()
        self.prometheus.kill()
        for page in self._pages.values():
            page.stop()
        self._names.stop()

    def _serving(self) -> list[str]:
        return [ADDRESSES[name] for name, server in self.servers.items() if server.runs]

    def rests(self) -> None:
        """Wait until nothing is asked, as far as Prometheus and Foresail know.

        Else the next object would be told first what the last one was.
        """
        self.picker.asks(0)
        self.picker.renamed = False
        query = "sum(llm_d_epp_request_running) + sum(llm_d_epp_flow_control_queue_size)"
        self.bed.wait(lambda: self.prometheus.value(query) == 0, "nothing scraped")
        # NaN: nothing was read yet.
        self.bed.wait(
            lambda: not self.exported("foresail_reading", signal="running") > 0, "nothing running"
        )

    # -- certificates ----------------------------------------------------------------------------

    def trust(self, *authorities: Authority, client: Authority | None = None) -> None:
        """KEDA's Secret: the authorities it trusts, and a certificate of its own of one of them."""
        pair = (client or authorities[-1]).sign("keda-operator")
        files = {
            "ca.crt": b"".join(one.certificate for one in authorities),
            "tls.crt": pair.certificate,
            "tls.key": pair.key,
        }
        for namespace in ("keda", NAMESPACE):
            self.bed.secret(namespace, CLIENT_SECRET, files)
        self._client = (files["ca.crt"], files["tls.key"], files["tls.crt"])

    def client_files(self) -> tuple[bytes, bytes, bytes]:
        """What KEDA's Secret has now: the authorities, the key and the certificate."""
        return self._client

    def prove(self, *authorities: Authority, server: Authority | None = None) -> None:
        """Our files: the authorities whose clients may ask, and a certificate of one of them."""
        pair = (server or authorities[-1]).sign("foresail", hosts=[SERVICE, *ADDRESSES.values()])
        files = {
            "ca.crt": b"".join(one.certificate for one in authorities),
            "tls.crt": pair.certificate,
            "tls.key": pair.key,
        }
        for name, content in files.items():
            # As kubelet does it: never half a file.
            fresh = self._folder / f"{name}.new"
            fresh.write_bytes(content)
            fresh.rename(self._folder / name)

    # -- servers ---------------------------------------------------------------------------------

    def serve(self, name: str) -> Program:
        """Start one of the servers, and wait until it can answer."""
        settings = self._folder / f"foresail-{name}.yaml"
        settings.write_text(yaml.safe_dump(self._settings(name)))
        program = self.servers.get(name)
        if program is None:
            command = [sys.executable, "-m", "foresail.cli", "serve", "--config", str(settings)]
            program = Program(f"foresail-{name}", command, self._folder, end_seconds=60)
            self.servers[name] = program
        program.start()
        self.bed.wait(lambda: self.page("/readyz", name) == "ok\n", f"foresail {name}")
        return program

    def limit_answers(self, seconds: int) -> None:
        """Let no answer stand longer, of the first server, which starts anew, and of later ones."""
        self._answer_seconds_max = seconds
        self.servers["a"].stop()
        self.serve("a")

    def _settings(self, name: str) -> dict[str, Any]:
        return {
            "listen": {
                "grpc": f"{ADDRESSES[name]}:{self.port}",
                "http": f"127.0.0.1:{self._http[name]}",
            },
            "tls": {
                "certificate": str(self._folder / "tls.crt"),
                "key": str(self._folder / "tls.key"),
                "clientCa": str(self._folder / "ca.crt"),
            },
            "sources": [
                {
                    "name": "main",
                    "prometheus": {
                        "url": self.prometheus.url,
                        "timeout": "900ms",
                        "reading": {"window": "4s", "staleAfter": "3s"},
                    },
                }
            ],
            "cycle": {
                "period": "1s",
                "step": "2s",
                "lookMax": "1s",
                "answerMax": f"{self._answer_seconds_max}s",
                "history": "1h",
            },
            **self._state(name),
        }

    def _state(self, name: str) -> dict[str, Any]:
        """As the example has it, but that no name resolves to all servers here: it asks one."""
        own = ADDRESSES[name]
        peer, *_ = [*(address for address in self._serving() if address != own), own]
        return {"state": {"peers": f"{peer}:{self.port}"}}

    def http_url(self, server: str = "a") -> str:
        return f"http://127.0.0.1:{self._http[server]}"

    def scrape_job(self) -> Job:
        """Of the first server's own metrics."""
        return Job(name="foresail", address=f"127.0.0.1:{self._http['a']}")

    def page(self, path: str, server: str = "a") -> str:
        """A page of a server's second port; what went wrong where there is none."""
        try:
            return requests.get(self.http_url(server) + path, timeout=60).text
        except requests.RequestException as error:
            return str(error)

    def exported(self, name: str, server: str = "a", **labels: str) -> float:
        """The sum of a series of the server's metrics; NaN where it has none."""
        return self.exports(server)(name, **labels)

    def exports(self, server: str = "a") -> Exports:
        """The server's metrics at one moment, to be asked as `exported` is."""
        lines = self.page("/metrics", server).splitlines()

        def value(name: str, **labels: str) -> float:
            found = [
                float(line.rsplit(" ", 1)[1])
                for line in lines
                if line.startswith((f"{name} ", f"{name}{{"))
                and all(f'{label}="{value}"' in line for label, value in labels.items())
            ]
            return sum(found) if found else math.nan

        return value

    # -- workloads -------------------------------------------------------------------------------

    def deploy(self, name: str, replicas: int = 0, **annotations: str) -> None:
        """A Deployment of pods that ask for a GPU each."""
        self.bed.apply(deployment(name, replicas, annotations))

    def scale(
        self,
        name: str,
        *,
        spec: Mapping[str, object] | None = None,
        behavior: Mapping[str, object] | None = None,
        push: bool = True,
        fallback: bool = False,
        beside: Mapping[str, object] | None = None,
        **metadata: str | None,
    ) -> None:
        """The ScaledObject of the examples for this Deployment, faster and down to zero.

        Its cooldowns stay long. KEDA 2.21 takes a poll whose scalers were closed in between, by an
        error or an edit, for an inactive one without error; only a cooldown stands between that
        and zero. `stops` is for tests of zero.

        Args:
            name: of the Deployment and of the ScaledObject.
            spec: in place of the example's; None = left out.
            behavior: of the HPA, in place of the example's; empty = the HPA's own.
            push: trigger `external-push`, else `external`.
            fallback: as the example has it: 4 replicas, also for an object that was made a few
                polls ago and that no server has looked at yet.
            beside: another trigger.
            metadata: of the trigger, in place of the example's; None = left out.
        """
        faster = {"pollingInterval": 1, "minReplicaCount": 0}
        without_fallback = {} if fallback else {"fallback": None}
        self.bed.apply(
            scaled_object(
                name,
                self.metadata(**metadata),
                spec={**faster, **without_fallback, **(spec or {})},
                behavior=behavior,
                push=push,
                beside=beside,
            )
        )

    def stops(self, name: str) -> None:
        """Let the cooldown of an object be short until its Deployment is at zero.

        Only where nothing is asked any more, as far as KEDA's triggers know.
        """
        path = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects/{name}"
        spec = self.bed.read(path)["spec"]
        self.bed.send("PATCH", path, {"spec": IMPATIENT})
        self.reaches(name, 0)
        self.bed.send("PATCH", path, {"spec": {key: spec[key] for key in IMPATIENT}})

    def metadata(self, **changes: str | None) -> dict[str, str]:
        """The example's, for the picker's model; one request running is one replica."""
        here = {
            # The example's, asked of our name server.
            "scalerAddress": f"dns://{self._names.address}/{SERVICE}:{self.port}",
            "mode": "act",
            "model": self.picker.model,
            "engine": "llm-d",
            "minReplicas": "0",
            "replicaRequests": "1",
            "utilization": "1",
            "leadTime": "1s",
            "hold": "0s",
        }
        return trigger_metadata(**{**here, **changes})

    def forget(self, name: str) -> None:
        """Take the ScaledObject and its Deployment away."""
        for kind in ("scaledobject", "deployment"):
            self.bed.kubectl(
                "delete", kind, name, "-n", NAMESPACE, "--ignore-not-found", "--timeout=600s"
            )

    # -- looking ---------------------------------------------------------------------------------

    def replicas(self, name: str) -> int:
        """What the Deployment is asked for."""
        return int(self._deployment(name)["spec"]["replicas"])

    def ready(self, name: str) -> int:
        return int(self._deployment(name)["status"].get("readyReplicas", 0))

    def reaches(self, name: str, wanted: int, *, seconds: float = READY_SECONDS) -> None:
        """Wait until the Deployment is asked for exactly `wanted`."""
        last = -1

        def there() -> bool:
            nonlocal last
            last = self.replicas(name)
            return last == wanted

        self.bed.wait(
            there,
            f"{name} at {wanted}",
            seconds=seconds,
            seen=lambda: f"{name} is at {last}:\n{self.page(f'/explain/{NAMESPACE}/{name}')}",
        )

    @contextmanager
    def recording(self, name: str) -> Iterator[Record]:
        """Every count of the Deployment while inside, none left out."""
        record = Record()
        record.take(self._deployment(name))
        with self.bed.watching(_path(name), record.take):
            yield record

    def falls_back(self, name: str) -> bool:
        """Whether KEDA says that the fallback is in force."""
        path = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects/{name}"
        conditions = self.bed.read(path)["status"]["conditions"]
        return any(one["type"] == "Fallback" and one["status"] == "True" for one in conditions)

    def answered(self, server: str, **labels: str) -> float:
        """How often a server answered KEDA, whatever the question unless `labels` say which.

        Where KEDA asks two servers in turns, and an even number of questions a poll, each of them
        is asked the same ones for ever.
        """
        return self.asked(server, code="OK", **labels)

    def asked(self, server: str = "a", **labels: str) -> float:
        """How often KEDA asked a server, whatever it was told; 0 of one that has just begun."""
        made = self.exported("foresail_rpc_duration_seconds_count", server, **labels)
        return 0.0 if math.isnan(made) else made

    def calls(self, server: str = "a") -> float:
        """How often a server gave KEDA a number."""
        return self.answered(server, method="GetMetrics")

    def reads(self, name: str, signal_name: str) -> float:
        """What Foresail reads of one signal for this object; NaN = nothing."""
        return self.exported(
            "foresail_reading", namespace=NAMESPACE, scaled_object=name, signal=signal_name
        )

    def answers(self, name: str) -> float:
        """What Foresail would tell KEDA now; NaN while it refuses."""
        return self.exported("foresail_desired_replicas", namespace=NAMESPACE, scaled_object=name)

    def planned(self, name: str) -> float:
        """What Foresail's full plan wants for this object; NaN before the first one."""
        return self.exported("foresail_planned_replicas", namespace=NAMESPACE, scaled_object=name)

    def _deployment(self, name: str) -> dict[str, Any]:
        return self.bed.read(_path(name))


def _path(deployment: str) -> str:
    return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"
