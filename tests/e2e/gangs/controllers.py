"""The controllers of gangs as processes: JobSet, LeaderWorkerSet and Kubeflow's Trainer.

Their webhooks are served on loopback, because LeaderWorkerSet's one labels the pods of each group.
KubeRay's kinds are served too, without its operator.
"""

import base64
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.gang_documents import RUNS_FOR
from tests.e2e import kinds
from tests.e2e.bed import Bed, answers_ok, module
from tests.prometheus import free_port

COMPONENT = "gangs"
WEBHOOK_SECONDS_MAX = 30
"""The most that Kubernetes takes: a webhook may have no core for a while."""
_CRDS = {
    "sigs.k8s.io/jobset": ("config/components/crd/bases/*_*.yaml",),
    "sigs.k8s.io/lws": ("config/crd/bases/*_*.yaml",),
    "github.com/kubeflow/trainer/v2": ("manifests/base/crds/*_*.yaml",),
    "github.com/ray-project/kuberay/ray-operator": (
        "config/crd/bases/ray.io_rayclusters.yaml",
        "config/crd/bases/ray.io_rayjobs.yaml",
    ),
}
"""Patterns of files, by module."""
_JOBSET, _LWS, _TRAINER = list(_CRDS)[:3]
_WEBHOOKS = {
    _JOBSET: "config/components/webhook/manifests.yaml",
    _LWS: "config/webhook/manifests.yaml",
    _TRAINER: "manifests/base/webhook/manifests.yaml",
}
_POD_LABELS = {
    "jobset": "jobset.sigs.k8s.io/jobset-name",
    "lws": "leaderworkerset.sigs.k8s.io/name",
}
"""Of the pods that their webhooks are for; kustomize adds that."""
_RUNTIME = "manifests/base/runtimes/torch_distributed.yaml"


def start(bed: Bed) -> None:
    """All kinds, the three controllers, and the runtime of PyTorch that Trainer ships."""
    folders = {name: module(COMPONENT, name) for name in _CRDS}
    files = [
        file
        for name, patterns in _CRDS.items()
        for pattern in patterns
        for file in sorted(folders[name].glob(pattern))
    ]
    kinds.serve(bed, files)
    _start(bed, "jobset", "jobset", folders[_JOBSET] / _WEBHOOKS[_JOBSET])
    # Go names a program after the folder of its main package.
    _start(bed, "lws", "cmd", folders[_LWS] / _WEBHOOKS[_LWS])
    trainer = folders[_TRAINER]
    _start(bed, "trainer", "trainer-controller-manager", trainer / _WEBHOOKS[_TRAINER])
    runtime = yaml.safe_load((trainer / _RUNTIME).read_text())
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pods = replicated["template"]["spec"]["template"]
    pods.setdefault("metadata", {})["annotations"] = {**RUNS_FOR}
    bed.wait(lambda: is_taken(bed, runtime), "Trainer's webhook")


def is_taken(bed: Bed, document: dict[str, Any]) -> bool:
    """Whether the API server takes it, which calls the webhooks."""
    try:
        bed.apply(document)
    except RuntimeError:
        return False
    return True


def _start(bed: Bed, name: str, program: str, webhooks: Path) -> None:
    # Trainer knows no folder for its certificate but the one below the temporary folder.
    temporary = bed.folder / name
    certificates = temporary / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True)
    for there, here in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
        shutil.copy(bed.file(here), certificates / there)
    port, probes = free_port(), free_port()
    webhook: dict[str, Any] = {"port": port, "host": "127.0.0.1"}
    configuration: dict[str, Any] = {
        "apiVersion": f"config.{name}.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{probes}"},
        "leaderElection": {"leaderElect": False},
        "webhook": webhook,
    }
    if name == "trainer":
        configuration["apiVersion"] = "config.trainer.kubeflow.org/v1alpha1"
        configuration["certManagement"] = {"enable": False}
    else:
        configuration["internalCertManagement"] = {"enable": False}
        webhook["certDir"] = str(certificates)
    bed.write(f"{name}.yaml", yaml.safe_dump(configuration).encode())
    bed.start(
        name,
        [bed.program(COMPONENT, program), f"--config={bed.file(f'{name}.yaml')}"],
        environment={"KUBECONFIG": str(bed.kubeconfig("admin")), "TMPDIR": str(temporary)},
        ready=lambda: answers_ok(f"http://127.0.0.1:{probes}/readyz"),
    )
    documents = list(yaml.safe_load_all(webhooks.read_text()))
    bed.apply(*(_on_loopback(bed, name, port, one) for one in documents if one))


def _on_loopback(bed: Bed, name: str, port: int, document: dict[str, Any]) -> dict[str, Any]:
    """A webhook configuration whose webhooks are asked at a port of ours."""
    bundle = base64.b64encode(bed.authority.certificate).decode()
    document["metadata"] = {"name": f"{name}-{document['metadata']['name']}"}
    for one in document["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        one["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle}
        one["timeoutSeconds"] = WEBHOOK_SECONDS_MAX
        if "pods" in one["rules"][0]["resources"]:
            own = {"key": _POD_LABELS[name], "operator": "Exists"}
            one["objectSelector"] = {"matchExpressions": [own]}
    return document
