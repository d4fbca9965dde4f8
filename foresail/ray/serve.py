"""A Ray cluster's Serve applications, by the REST API of its dashboard.

Ray refuses a change of an application that was not deployed with `external_scaler_enabled: true`.
Such an application belongs to its own autoscaling, or to who deployed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from typing_extensions import override

from fleet.bounded_body import body_of
from scaler.errors import ForesailError
from scaler.message_text import limited
from scaler.sources.access import authorization, checked_url

_TIMEOUT_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 16 * 2**20
_AGENT: Final = "foresail"
"""Ray answers agents that look like a browser's with 405."""


class RayError(ForesailError):
    """No answer this time, or one that cannot be used."""


class NotOursError(RayError):
    """Ray does not let others scale it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeDeployment:
    """Where a deployment is found."""

    application: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.application}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentState:
    """What Ray says of a deployment."""

    target_replicas: int
    running_replicas: int
    scales_itself: bool
    """It has an autoscaling of its own."""
    refuses_others: bool
    """Its application's config does not let others scale it. One that was deployed from Python
    shows no config; Ray's answer to a change then tells."""


class RayServe:
    """The dashboard of one Ray cluster."""

    def __init__(self, url: str, *, token_file: Path | None = None) -> None:
        self._url = checked_url(url).rstrip("/")
        self._token_file = token_file
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": _AGENT})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def states(self) -> Mapping[ServeDeployment, DeploymentState]:
        """Every deployment of every application.

        Raises:
            RayError: no answer, or none that can be read.
        """
        status, body = await self._asked("GET", "/api/serve/applications/")
        if status != HTTPStatus.OK:
            raise self._refused(status, body)
        try:
            return states_of(loads(body))
        except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise RayError(
                f"Ray at {self._url}: its list of applications cannot be read: "
                f"{limited(f'{type(error).__name__}: {error}')}"
            ) from error

    async def scale(self, deployment: ServeDeployment, replicas: int) -> None:
        """Set the target.

        Raises:
            NotOursError: the application does not let others scale it.
            RayError: no answer, or another refusal.
        """
        application, name = (
            quote(part, safe="") for part in (deployment.application, deployment.name)
        )
        status, body = await self._asked(
            "POST",
            f"/api/v1/applications/{application}/deployments/{name}/scale",
            {"target_num_replicas": replicas},
        )
        if status == HTTPStatus.PRECONDITION_FAILED:
            raise NotOursError(
                f"Ray does not let others scale {deployment}: deploy application "
                f"{deployment.application!r} with `external_scaler_enabled: true`, without "
                "`autoscaling_config`"
            )
        if status != HTTPStatus.OK:
            raise self._refused(status, body)

    async def _asked(
        self, method: str, path: str, content: Mapping[str, int] | None = None
    ) -> tuple[int, bytes]:
        assert self._session is not None, "used outside `async with`"
        headers = authorization(self._token_file, None)
        try:
            async with self._session.request(
                method,
                f"{self._url}{path}",
                json=content,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                body = await body_of(answer.content, _ANSWER_BYTES_MAX)
                if body is None:
                    raise RayError(f"Ray at {self._url}: an answer of over 16 MiB")
                return answer.status, body
        except (TimeoutError, aiohttp.ClientError) as error:
            why = str(error) or f"no answer within {_TIMEOUT_SECONDS:g} s"
            raise RayError(f"Ray at {self._url}: {limited(why)}") from error

    def _refused(self, status: int, body: bytes) -> RayError:
        said = limited(body.decode(errors="replace").strip() or "no reason is given")
        return RayError(f"Ray at {self._url}: HTTP {status}: {said}")


def states_of(answer: Any) -> Mapping[ServeDeployment, DeploymentState]:
    """The deployments in an answer of `/api/serve/applications/`.

    Raises:
        KeyError, TypeError, ValueError: it is no such answer.
    """
    return {
        ServeDeployment(application=application, name=name): DeploymentState(
            target_replicas=int(one["target_num_replicas"]),
            running_replicas=sum(each["state"] == "RUNNING" for each in one["replicas"]),
            scales_itself=bool((one.get("deployment_config") or {}).get("autoscaling_config")),
            refuses_others=_refuses_others(found.get("deployed_app_config")),
        )
        for application, found in answer["applications"].items()
        for name, one in found["deployments"].items()
    }


def _refuses_others(config: Mapping[str, object] | None) -> bool:
    return config is not None and not config.get("external_scaler_enabled")
