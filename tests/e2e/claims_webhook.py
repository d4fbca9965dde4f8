"""`foresail webhook` as a process, under the ServiceAccount and with the rules of the example."""

import base64
import sys
from typing import Any, Self

import requests

from scheduler.admission import GivenBy
from scheduler.webhook import PATH
from tests.deploy.examples import documents_of
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.processes import Program
from tests.prometheus import free_port

USER = "system:serviceaccount:foresail:foresail-webhook"
NAME = "foresail-claims"
_PUT_OFF = "the pod is made again"


class WebhookServer:
    """Serves while it is entered, and the API server asks it."""

    def __init__(self, bed: Bed, given_by: GivenBy = GivenBy.DRA) -> None:
        self.port, self._http_port = free_port(), free_port()
        self._bed = bed
        kubernetes.add_user(bed, "claims", USER)
        command = [
            sys.executable, "-m", "foresail.cli", "webhook",
            "--kubeconfig", str(bed.kubeconfig("claims")),
            "--listen", f"127.0.0.1:{self.port}",
            "--http", f"127.0.0.1:{self._http_port}",
            "--tls-certificate", bed.file("server.crt"),
            "--tls-key", bed.file("server.key"),
            "--client-ca", bed.file("ca.crt"),
            "--client-name", kubernetes.WEBHOOK_CLIENT,
            "--gpus-by", str(given_by),
        ]  # fmt: skip
        self.program = Program("foresail-webhook", command, bed.folder)

    def __enter__(self) -> Self:
        for document in documents_of("claims-webhook.yaml"):
            match document["kind"]:
                case "ClusterRole" | "ClusterRoleBinding":
                    self._bed.apply(document)
                case "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding":
                    self._bed.apply(document)
                case "MutatingWebhookConfiguration":
                    self._bed.apply(self._configuration(document))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bed.kubectl("delete", "mutatingwebhookconfiguration", NAME)
        self.program.stop()

    def start(self) -> None:
        self.program.start()
        self._bed.wait(lambda: self.page("/readyz") == "ok\n", "the webhook")

    def _configuration(self, example: dict[str, Any]) -> dict[str, Any]:
        """The example's, to our address in place of a Service, and with all the time it may have.

        In 5 s a busy machine may not answer, and then the API server refuses the pod.
        """
        ca = base64.b64encode(self._bed.authority.certificate).decode()
        told = {"url": f"https://127.0.0.1:{self.port}{PATH}", "caBundle": ca}
        ours = {"clientConfig": told, "timeoutSeconds": 30}
        return {**example, "webhooks": [{**one, **ours} for one in example["webhooks"]]}

    def page(self, path: str) -> str:
        try:
            return requests.get(f"http://127.0.0.1:{self._http_port}{path}", timeout=60).text
        except requests.RequestException as error:
            return str(error)


def make(bed: Bed, pod: dict[str, Any]) -> None:
    """A pod with a need; again, as a controller would, while the API server takes no template."""

    def is_made() -> bool:
        try:
            bed.apply(pod)
        except RuntimeError as error:
            if _PUT_OFF not in str(error):
                raise
            return False
        return True

    bed.wait(is_made, f"pod {pod['metadata']['name']}")
