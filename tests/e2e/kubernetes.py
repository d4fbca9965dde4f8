"""Kubernetes as processes: etcd, API server, controller manager, scheduler, and kwok's nodes."""

from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contracts.certificates import LOOPBACK
from tests.e2e.bed import Bed, answers_ok, module
from tests.prometheus import free_port

HPA_SYNC_SECONDS = 2
DOWNSCALE_SECONDS = 10
"""The HPA controller's window for objects without a `behavior`."""
WEBHOOK_CLIENT = "foresail-apiserver"
"""Common name of the certificate that the API server shows, as certificates.sh has it."""
_SERVICE_RANGE = "10.97.0.0/24"
_SERVICE_HOST = "10.97.0.1"
_USERS = {
    "admin": ("admin", "system:masters"),
    "manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
}


def issue(bed: Bed) -> None:
    """Certificates and kubeconfigs of everybody who talks to the API server."""
    bed.write("ca.crt", bed.authority.certificate)
    bed.issue("server", "server", hosts=(*LOOPBACK, "::1", _SERVICE_HOST, "kubernetes.default.svc"))
    bed.issue("front-proxy", "front-proxy")
    _write_webhook_credentials(bed)
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    bed.write(
        "service-account.key",
        account.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )
    for user, (name, group) in _USERS.items():
        add_user(bed, user, name, group=group)


def add_user(bed: Bed, user: str, name: str, *, group: str | None = None) -> None:
    """A certificate and a kubeconfig, `user` by file, for who is called `name`."""
    bed.issue(user, name, organization=group)
    cluster = {
        "server": f"https://127.0.0.1:{bed.api_port}",
        "certificate-authority": bed.file("ca.crt"),
    }
    holder = {
        "client-certificate": bed.file(f"{user}.crt"),
        "client-key": bed.file(f"{user}.key"),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": user, "user": holder}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": user}}],
    }
    bed.kubeconfig(user).write_text(yaml.safe_dump(document))


def _write_webhook_credentials(bed: Bed) -> None:
    """The API server shows webhooks a certificate; each connection reads its files anew."""
    bed.issue("webhook-client", WEBHOOK_CLIENT)
    holder = {
        "client-certificate": bed.file("webhook-client.crt"),
        "client-key": bed.file("webhook-client.key"),
    }
    users = [{"name": "*", "user": holder}]
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "users": users}
    bed.write("webhooks.kubeconfig", yaml.safe_dump(kubeconfig).encode())
    version = "apiserver.config.k8s.io/v1"
    plugin = {
        "name": "MutatingAdmissionWebhook",
        "configuration": {
            "apiVersion": version,
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": bed.file("webhooks.kubeconfig"),
        },
    }
    admission = {"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": [plugin]}
    bed.write("admission.yaml", yaml.safe_dump(admission).encode())


def start(bed: Bed) -> None:
    """Everything of Kubernetes but nodes; the API server answers when this returns."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    bed.start(
        "etcd",
        [
            bed.program("etcd", "server"),
            f"--data-dir={bed.file('etcd')}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ],
        ready=lambda: answers_ok(f"{client}/health"),
    )
    bed.start("kube-apiserver", _api_server(bed, client), ready=lambda: _is_ready(bed))
    bed.start(
        "kube-controller-manager",
        [
            bed.program("kubernetes", "kube-controller-manager"),
            *_as_user(bed, "manager"),
            f"--service-account-private-key-file={bed.file('service-account.key')}",
            "--use-service-account-credentials=true",
            f"--horizontal-pod-autoscaler-sync-period={HPA_SYNC_SECONDS}s",
            f"--horizontal-pod-autoscaler-downscale-stabilization={DOWNSCALE_SECONDS}s",
        ],
    )
    start_scheduler(bed, "kube-scheduler")


def start_scheduler(bed: Bed, name: str, *arguments: str) -> None:
    """A scheduler; a further one is given its `--config`."""
    command = [bed.program("kubernetes", "kube-scheduler"), *_as_user(bed, "scheduler")]
    bed.start(name, [*command, *arguments])


def _as_user(bed: Bed, user: str) -> list[str]:
    kubeconfig = bed.kubeconfig(user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
    ]


def _api_server(bed: Bed, etcd: str) -> list[str]:
    return [
        bed.program("kubernetes", "kube-apiserver"),
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={bed.api_port}",
        f"--tls-cert-file={bed.file('server.crt')}",
        f"--tls-private-key-file={bed.file('server.key')}",
        f"--client-ca-file={bed.file('ca.crt')}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={bed.file('service-account.key')}",
        f"--service-account-signing-key-file={bed.file('service-account.key')}",
        f"--requestheader-client-ca-file={bed.file('ca.crt')}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={bed.file('front-proxy.crt')}",
        f"--proxy-client-key-file={bed.file('front-proxy.key')}",
        f"--admission-control-config-file={bed.file('admission.yaml')}",
        # No kubelet mounts a token, so no pod waits for its ServiceAccount.
        "--disable-admission-plugins=ServiceAccount",
    ]


def _is_ready(bed: Bed) -> bool:
    return answers_ok(
        f"https://127.0.0.1:{bed.api_port}/readyz",
        ca=bed.file("ca.crt"),
        cert=(bed.file("admin.crt"), bed.file("admin.key")),
    )


def start_nodes(bed: Bed) -> None:
    """kwok, and one node that takes whatever is scheduled."""
    start_kwok(bed)
    add_node(bed, "node-a", gpus=64)


def start_kwok(bed: Bed) -> None:
    """What makes nodes Ready and their pods run, whoever made them."""
    kustomize = module("kwok", "sigs.k8s.io/kwok") / "kustomize"
    forwards = kustomize / "crd" / "bases" / "kwok.x-k8s.io_clusterportforwards.yaml"
    bed.apply(yaml.safe_load(forwards.read_text()))
    stages = kustomize / "stage"
    chosen = [
        *sorted((stages / "node" / "fast").glob("node-*.yaml")),
        *sorted((stages / "node" / "heartbeat-with-lease").glob("node-*.yaml")),
        *sorted((stages / "pod" / "fast").glob("pod-*.yaml")),
    ]
    bed.write(
        "stages.yaml",
        yaml.safe_dump_all(_adapted(yaml.safe_load(path.read_text())) for path in chosen).encode(),
    )
    port = free_port()
    bed.start(
        "kwok",
        [
            bed.program("kwok", "kwok"),
            f"--kubeconfig={bed.kubeconfig('admin')}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
            f"--config={bed.file('stages.yaml')}",
            # Where the API server finds each node's kubelet, for `kubectl port-forward`.
            f"--server-address=127.0.0.1:{port}",
            "--node-ip=127.0.0.1",
            f"--node-port={port}",
            f"--tls-cert-file={bed.file('server.crt')}",
            f"--tls-private-key-file={bed.file('server.key')}",
            "--enable-crds=ClusterPortForward",
        ],
    )


def _adapted(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage of kwok's as the bed needs it.

    * A pod waits as long as its annotation `{stage}.stage.kwok.x-k8s.io/delay` asks. kwok's slower
      set of stages knows that annotation, and waits seconds without it.
    * A node has at least what it can give out. Karpenter's provider for kwok tells as capacity only
      what was asked of it.
    """
    name, spec = stage["metadata"]["name"], stage["spec"]
    if name in {"pod-ready", "pod-complete"}:
        asked = f'.metadata.annotations["{name}.stage.kwok.x-k8s.io/delay"]'
        spec["delay"] = {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": asked}}
    if name == "node-initialize":
        told = spec["next"]["statusTemplate"]
        spec["next"]["statusTemplate"] = told.replace(".status.capacity", ".status.allocatable")
    return stage


def add_node(bed: Bed, name: str, *, gpus: int = 0, **metadata: Any) -> None:
    """A node of kwok's with room for much; `gpus` as a device plugin shows them."""
    room = {"cpu": "512", "memory": "4Ti", "pods": "500"}
    if gpus:
        room["nvidia.com/gpu"] = str(gpus)
    labels = {"kubernetes.io/hostname": name, **metadata.pop("labels", {})}
    bed.apply(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels, **metadata},
            "status": {"capacity": room, "allocatable": room},
        }
    )

    def is_open() -> bool:
        # Ready is not enough: the taint of a node that was not goes a moment later.
        found = bed.read(f"/api/v1/nodes/{name}")
        conditions = found["status"].get("conditions", ())
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return ready and not found["spec"].get("taints")

    bed.wait(is_open, f"node {name}")
