"""The example manifests: what they say to KEDA, to Kubernetes, to Foresail, and to each other."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from foresail.settings.file import read
from replay.hpa import ScalingRules
from replay.trigger import BEHAVIOR
from scaler.trigger_parsing import parse
from tests.deploy.examples import (
    FOLDER,
    SETTINGS,
    Manifest,
    container,
    documents,
    only,
    trigger,
)
from tests.deploy.schema import faults, unknown_fields

KEDA = "github.com/kedacore/keda/v2@v2.21.0"
WORKLOAD_KINDS = ("Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")


# To Foresail.


def test_the_settings_are_in_order() -> None:
    result = CliRunner().invoke(main, ["check-config", str(SETTINGS)])

    assert (result.exit_code, result.output) == (0, f"{SETTINGS}: in order; sources: main\n")


def test_the_trigger_is_admitted_under_the_example_settings() -> None:
    trigger_spec = parse(trigger()["metadata"], read(SETTINGS).allowed)

    assert (trigger_spec.model, trigger_spec.source, trigger_spec.lead_time) == (
        "qwen3-32b",
        "main",
        300,
    )


def test_the_trigger_repeats_the_bounds_that_keda_does_not_send() -> None:
    spec, told = only("ScaledObject")["spec"], trigger()["metadata"]

    assert (int(told["minReplicas"]), int(told["maxReplicas"])) == (
        spec["minReplicaCount"],
        spec["maxReplicaCount"],
    )
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_keda_waits_two_lead_times_before_it_goes_to_zero() -> None:
    spec = only("ScaledObject")["spec"]
    lead_seconds = parse(trigger()["metadata"], read(SETTINGS).allowed).lead_time

    assert spec["cooldownPeriod"] >= 2 * lead_seconds
    assert spec["initialCooldownPeriod"] >= lead_seconds


# To the HPA.


def test_one_step_of_the_hpa_reaches_the_most_replicas() -> None:
    spec = only("ScaledObject")["spec"]
    up = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"]

    assert {"type": "Pods", "value": spec["maxReplicaCount"], "periodSeconds": 15} in up["policies"]


def test_the_demo_plays_the_behavior_of_the_example() -> None:
    spec = only("ScaledObject")["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert _told(BEHAVIOR.scale_up) == _given(behavior["scaleUp"])
    assert _told(BEHAVIOR.scale_down) == _given(behavior["scaleDown"])


def _told(rules: ScalingRules) -> dict[str, object]:
    percents = [policy.value for policy in rules.policies if policy.kind.value == "Percent"]
    return {
        "window": rules.stabilization_window_seconds,
        "tolerance": rules.tolerance_ratio,
        "percents": percents,
    }


def _given(rules: Manifest) -> dict[str, object]:
    return {
        "window": rules["stabilizationWindowSeconds"],
        "tolerance": float(rules["tolerance"]),
        "percents": [p["value"] for p in rules["policies"] if p["type"] == "Percent"],
    }


# To each other.


def test_ports_agree_across_settings_pod_service_and_trigger() -> None:
    listen = read(SETTINGS).listen
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    (served,) = only("Service")["spec"]["ports"]
    pod = only("Deployment")["spec"]["template"]["metadata"]

    assert ports == {"grpc": _port(listen.grpc), "http": _port(listen.http)}
    assert served["targetPort"] == "grpc"
    assert _port(trigger()["metadata"]["scalerAddress"]) == served["port"]
    assert pod["annotations"]["prometheus.io/port"] == str(ports["http"])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_keda_dials_the_headless_service_by_the_name_in_its_certificate() -> None:
    service = only("Service")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    host = trigger()["metadata"]["scalerAddress"].rpartition(":")[0]

    assert service["spec"]["clusterIP"] == "None"
    assert host == f"{name}.{namespace}.svc.cluster.local"
    # The short name too: a cluster's domain need not be cluster.local.
    assert _certificate("foresail-server")["spec"]["dnsNames"] == [
        host,
        f"{name}.{namespace}.svc",
    ]


def test_an_object_that_is_applied_as_it_is_changes_no_replica() -> None:
    assert trigger()["metadata"]["mode"] == "advise"


def test_every_selector_finds_the_pods() -> None:
    spec = only("Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]

    assert spec["selector"]["matchLabels"] == labels
    assert only("Service")["spec"]["selector"] == labels
    assert only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_the_files_that_the_settings_name_are_mounted_from_the_server_certificate() -> None:
    tls = read(SETTINGS).tls
    assert tls is not None
    assert tls.client_ca is not None
    folders = {mount["name"]: Path(mount["mountPath"]) for mount in container()["volumeMounts"]}
    volumes = only("Deployment")["spec"]["template"]["spec"]["volumes"]
    secrets = {v["name"]: v["secret"]["secretName"] for v in volumes if "secret" in v}

    named = {tls.certificate: "tls.crt", tls.key: "tls.key", tls.client_ca: "ca.crt"}
    assert named == {folders["tls"] / key: key for key in named.values()}
    assert secrets["tls"] == _certificate("foresail-server")["spec"]["secretName"]


def test_peers_find_each_other_by_the_name_in_the_certificate_that_they_show() -> None:
    settings, certificate = read(SETTINGS), _certificate("foresail-server")["spec"]
    assert settings.state.peers is not None
    host, _, port = settings.state.peers.rpartition(":")

    assert host == trigger()["metadata"]["scalerAddress"].rpartition(":")[0]
    assert host in certificate["dnsNames"]
    assert set(certificate["usages"]) == {"server auth", "client auth"}
    assert int(port) == only("Service")["spec"]["ports"][0]["port"]


def test_a_pod_may_ask_its_peers() -> None:
    asked_by = [
        (list(sender), port["port"])
        for rule in only("NetworkPolicy")["spec"]["ingress"]
        for sender in rule["from"]
        for port in rule["ports"]
        if sender.get("podSelector", {}).get("matchLabels")
        == only("Deployment")["spec"]["selector"]["matchLabels"]
    ]

    assert asked_by == [(["podSelector"], "grpc")]


def test_states_are_kept_in_a_folder_that_the_container_may_write_to() -> None:
    (mount,) = [one for one in container()["volumeMounts"] if one["name"] == "state"]

    assert Path(mount["mountPath"]) == read(SETTINGS).state.directory
    assert not mount.get("readOnly")


def test_the_settings_are_mounted_where_the_command_looks() -> None:
    *_, config = container()["args"]
    folders = {mount["name"]: Path(mount["mountPath"]) for mount in container()["volumeMounts"]}

    assert Path(config) == folders["settings"] / SETTINGS.name


@pytest.mark.parametrize("kind", ["ClusterTriggerAuthentication", "TriggerAuthentication"])
def test_keda_gets_a_whole_identity_from_the_client_certificate(kind: str) -> None:
    parameters = {
        one["parameter"]: (one["name"], one["key"]) for one in only(kind)["spec"]["secretTargetRef"]
    }
    secret = _certificate("foresail-keda-client")["spec"]["secretName"]

    # With one of the last two missing KEDA speaks plain text and does not say so.
    assert parameters == {
        "caCert": (secret, "ca.crt"),
        "tlsClientCert": (secret, "tls.crt"),
        "tlsClientKey": (secret, "tls.key"),
    }


def test_the_trigger_refers_to_an_authentication_that_exists() -> None:
    reference = trigger()["authenticationRef"]

    assert only(reference["kind"])["metadata"]["name"] == reference["name"]


def _certificate(name: str) -> Manifest:
    (found,) = [
        one
        for one in documents()
        if one["kind"] == "Certificate" and one["metadata"]["name"] == name
    ]
    return found


def test_the_probes_ask_pages_that_are_served() -> None:
    probed = container()

    assert probed["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert probed["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_every_file_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"(?<![/a-z-])([a-z-]+\.yaml)\b", (FOLDER / "README.md").read_text()))

    assert named == {path.name for path in FOLDER.glob("*.yaml")}


# To Kubernetes and KEDA, in their own words.


@pytest.mark.parametrize("kind", WORKLOAD_KINDS)
def test_kubernetes_knows_every_field(kind: str) -> None:
    assert list(unknown_fields(only(kind), f"V1{kind}")) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    manifest = only("Deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    assert list(unknown_fields(manifest, "V1Deployment")) == [
        "V1Deployment.spec.template.spec.containers.readynessProbe"
    ]


@pytest.fixture(scope="module")
def keda_schemas() -> dict[str, Manifest]:
    """KEDA's own schemas by kind, from Go's module cache; nothing is downloaded."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go command, so no KEDA module to take its CRDs from")
    asked = subprocess.run(
        [go, "mod", "download", "-json", KEDA],
        capture_output=True,
        check=False,
        cwd=FOLDER,
        env={**os.environ, "GOPROXY": "off", "GOFLAGS": ""},
        timeout=300,
    )
    if asked.returncode:
        pytest.skip(f"not in Go's module cache: go mod download {KEDA}")
    folder = Path(json.loads(asked.stdout)["Dir"]) / "config" / "crd" / "bases"
    schemas = {}
    for plural in ("scaledobjects", "triggerauthentications", "clustertriggerauthentications"):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        crd = yaml.load((folder / f"keda.sh_{plural}.yaml").read_text(), Loader=loader)  # noqa: S506
        (version,) = [one for one in crd["spec"]["versions"] if one["name"] == "v1alpha1"]
        schemas[crd["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return schemas


@pytest.mark.parametrize(
    "kind", ["ScaledObject", "TriggerAuthentication", "ClusterTriggerAuthentication"]
)
def test_keda_takes_every_field(keda_schemas: dict[str, Manifest], kind: str) -> None:
    assert list(faults(only(kind), keda_schemas[kind])) == []


def test_a_tolerance_inside_a_policy_is_refused_by_keda(
    keda_schemas: dict[str, Manifest],
) -> None:
    manifest = only("ScaledObject")
    behavior = manifest["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    behavior["scaleUp"]["policies"][0]["tolerance"] = 0

    found = list(faults(manifest, keda_schemas["ScaledObject"]))

    assert [fault.rpartition(".")[2] for fault in found] == ["tolerance: unknown field"]
