"""Which Service an APIService names, read from the API server by a process of its own.

A cluster has one `external.metrics.k8s.io`, and KEDA makes it its own when it is installed. The
client's library takes 70 MiB that the answering process needs for this one question only, so
`python -m foresail.api.service NAME` asks it, prints the answer as JSON and ends.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from scaler.errors import ForesailError

EXTERNAL_METRICS: Final = "v1beta1.external.metrics.k8s.io"
"""The one through which all HPAs of a cluster ask for external metrics."""
_PATH: Final = "/apis/apiregistration.k8s.io/v1/apiservices/{name}"
_ASK_SECONDS: Final = 20.0
"""Longer than the start of the child and its one request take on a busy machine."""
_REQUEST_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class NoOwner:
    """There is no such APIService yet."""


@dataclass(frozen=True, slots=True)
class Owner:
    service: str
    """namespace/name of the Service that answers."""
    part_of: str | None
    """The label `app.kubernetes.io/part-of`, such as `keda-operator`."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The API server did not say."""

    why: str


Reading: TypeAlias = NoOwner | Owner | Unread


def check_owner(reading: Reading, *, name: str, ours: str) -> str | None:
    """What to say where the owner is not known; None where nothing stands in the way.

    Raises:
        ForesailError: another program answers this API.
    """
    match reading:
        case Owner(service=service, part_of=part_of) if service != ours:
            belongs = f" ({part_of})" if part_of else ""
            raise ForesailError(
                f"externalMetrics: the APIService {name} belongs to the Service {service}{belongs},"
                f" not to {ours}, and a cluster has only one. With KEDA use a ScaledObject and"
                " leave externalMetrics out; else uninstall what owns it and apply the APIService"
                " of deploy/examples/external-metrics.yaml. If the Service is ours, name it in"
                " externalMetrics.service"
            )
        case Unread(why=why):
            return (
                f"{why}; look with `kubectl get apiservice {name}`: SERVICE must be {ours}, or"
                " HPAs ask another program. Let the service account `get` that APIService, and"
                " Foresail looks itself"
            )
        case _:
            return None


async def read_owner(name: str) -> Reading:
    """The owner by a child's word; whatever fails is `Unread`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foresail.api.service", name),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Unread(f"the API server was not read within {_ASK_SECONDS:g} s")
    try:
        return reading_of(json.loads(printed))
    except ValueError:
        return Unread(f"the program that reads the API server ended with {process.returncode}")


def reading_of(printed: dict[str, Any]) -> Reading:
    """The reading that a child printed."""
    if "why" in printed:
        return Unread(printed["why"])
    if "service" in printed:
        return Owner(printed["service"], printed["part_of"])
    return NoOwner()


def owner_of(api_service: dict[str, Any]) -> dict[str, Any]:
    """What the child prints of an APIService."""
    named = api_service["spec"].get("service")
    labels = api_service["metadata"].get("labels") or {}
    service = f"{named['namespace']}/{named['name']}" if named else "the API server itself"
    return {"service": service, "part_of": labels.get("app.kubernetes.io/part-of")}


async def _asked(name: str) -> dict[str, Any]:
    import aiohttp  # noqa: PLC0415 - the child's alone
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415

    from fleet.cluster.follow.clients import (  # noqa: PLC0415
        ClusterUnreachableError,
        connected_from_here,
    )

    try:
        async with await connected_from_here() as api:
            response: aiohttp.ClientResponse = await api.call_api(
                _PATH.format(name=name),
                "GET",
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            )
            async with response:
                if response.status == _NOT_FOUND:
                    return {}
                if not response.ok:
                    return {"why": f"the API server answers HTTP {response.status}"}
                return owner_of(await response.json())
    except (ClusterUnreachableError, ConfigException, aiohttp.ClientError, OSError) as error:
        return {"why": f"the API server cannot be asked: {str(error) or type(error).__name__}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_asked(sys.argv[1]))))
