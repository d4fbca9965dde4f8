"""Whose the external metrics API of a cluster is, and what that means for a start."""

import re

import pytest

from foresail.api.service import (
    NoOwner,
    Owner,
    Reading,
    Unread,
    check_owner,
    owner_of,
    read_owner,
    reading_of,
)
from scaler.errors import ForesailError

NAME = "v1beta1.external.metrics.k8s.io"
OURS = "foresail/foresail-external-metrics"


def unknown(reading: Reading) -> str | None:
    return check_owner(reading, name=NAME, ours=OURS)


def test_ours_and_nobodys_are_no_hindrance() -> None:
    assert unknown(Owner(OURS, None)) is None
    assert unknown(NoOwner()) is None


def test_keda_as_the_owner_is_refused_with_the_ways_out() -> None:
    keda = Owner("keda/keda-operator-metrics-apiserver", "keda-operator")

    with pytest.raises(ForesailError, match="uninstall what owns it") as refused:
        unknown(keda)

    assert str(refused.value).startswith(
        "externalMetrics: the APIService v1beta1.external.metrics.k8s.io belongs to the Service "
        "keda/keda-operator-metrics-apiserver (keda-operator), not to "
        "foresail/foresail-external-metrics, and a cluster has only one. With KEDA use a "
        "ScaledObject and leave externalMetrics out"
    )


def test_an_owner_that_cannot_be_read_is_no_refusal_and_says_how_to_look() -> None:
    said = unknown(Unread("the API server answers HTTP 403"))

    assert said is not None
    assert said.startswith(
        "the API server answers HTTP 403; look with `kubectl get apiservice "
        "v1beta1.external.metrics.k8s.io`: SERVICE must be foresail/foresail-external-metrics"
    )


def test_the_owner_is_the_service_that_the_api_service_names() -> None:
    labels = {"app.kubernetes.io/part-of": "keda-operator"}
    found = {
        "metadata": {"name": NAME, "labels": labels},
        "spec": {"service": {"namespace": "keda", "name": "adapter", "port": 443}},
    }

    assert reading_of(owner_of(found)) == Owner("keda/adapter", "keda-operator")
    del found["metadata"]["labels"]  # type: ignore[attr-defined]
    assert reading_of(owner_of(found)) == Owner("keda/adapter", None)
    assert reading_of({}) == NoOwner()


@pytest.mark.looptime(False)  # a process lives in real time
async def test_without_a_cluster_the_owner_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    reading = await read_owner(NAME)

    assert isinstance(reading, Unread)
    assert re.match(r"the API server cannot be asked: .*", reading.why)
