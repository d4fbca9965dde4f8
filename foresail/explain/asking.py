"""What `foresail explain` asks a running `foresail serve`, or a running `foresail scheduler`."""

from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp

from foresail.explain.workload import Account
from scaler.errors import ForesailError

_ANSWER_SECONDS_MAX: Final = 10.0
_Told = TypeVar("_Told")


async def accounts(
    server: str, namespace: str, name: str, *, token: str | None = None, at: str | None = None
) -> list[Account]:
    """The accounts of a workload, the last asked first; at least one.

    Args:
        token: of the server's `listen.tokenFile`; None = it is asked over loopback.
        at: the moment to explain, as `moment_of` takes it; None = now.

    Raises:
        ForesailError: no server answers there, it is none of ours, or it knows no such workload.
    """
    path = f"explain/{_path(namespace, name)}"
    if at is not None:
        path += f"?at={quote(at, safe='')}"
    return await _answer(server, path, _checked, by="serve", token=token)


async def pod_account(server: str, namespace: str, name: str) -> Account:
    """The account of the last answer about a pod.

    Raises:
        ForesailError: no scheduler answers there, it is none of ours, or it keeps no such answer.
    """
    path = f"explain/pods/{_path(namespace, name)}"
    return await _answer(server, path, _checked_pod, by="scheduler")


def _path(namespace: str, name: str) -> str:
    return f"{quote(namespace, safe='')}/{quote(name, safe='')}"


async def _answer(
    server: str,
    path: str,
    checked: Callable[[object], _Told],
    *,
    by: str,
    token: str | None = None,
) -> _Told:
    url = f"{server.rstrip('/')}/{path}"
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers) as response,
        ):
            if not response.ok:
                answer = (await response.text(errors="replace")).strip()
                raise ForesailError(answer or f"{url}: status {response.status}")
            return checked(await response.json())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = _why(error)
        message = (
            f"no answer from {url}: {why}; open a port-forward to the second port of a running "
            f"`foresail {by}`, or name it with --server"
        )
        raise ForesailError(message) from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    refused = isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    )
    return "connection refused" if refused else str(error)


def _checked(answer: object) -> list[Account]:
    """Another program may listen on the port, or a Foresail that is much older."""
    if isinstance(answer, list) and answer and all(map(_is_account, answer)):
        return answer
    raise ValueError("what it says is no explanation of a workload")


def _is_account(one: object) -> bool:
    return isinstance(one, dict) and "workload" in one and isinstance(one.get("outcome"), dict)


def _checked_pod(answer: object) -> Account:
    if isinstance(answer, dict) and {"pod", "candidates", "refusals"} <= answer.keys():
        return answer
    raise ValueError("what it says is no explanation of a pod")
