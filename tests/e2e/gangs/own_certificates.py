"""Controllers that make the certificate of their webhooks themselves.

They keep it in a Secret, write its authority into their webhooks, and wait until a kubelet has
mounted it. There is none, so it is written to a folder here. The API server finds their webhooks by
a Service that names this machine.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.bed import Bed


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """Where one of these controllers keeps its certificate."""

    namespace: str
    service: str
    kept_in: str
    """The name of its Secret."""

    def prepare(self, bed: Bed) -> None:
        """The namespace, the Service and an empty Secret."""
        bed.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.service, "namespace": self.namespace},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            },
        )
        bed.secret(self.namespace, self.kept_in, {})

    def mount(self, bed: Bed, folder: Path) -> None:
        """Wait until the controller has made the pair, and write it to a folder."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{self.kept_in}"
        there = f"the certificate of {self.service}"
        bed.wait(lambda: "tls.key" in (bed.read(path).get("data") or {}), there)
        for name, value in bed.read(path)["data"].items():
            (folder / name).write_bytes(base64.b64decode(value))

    def client(self, path: str, port: int) -> dict[str, Any]:
        """The `clientConfig` of a webhook that is served at a port of this machine."""
        service = {"name": self.service, "namespace": self.namespace, "path": path, "port": port}
        return {"service": service}
