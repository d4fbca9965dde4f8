"""What `foresail explain` asks a running `foresail serve`."""

from typing import Final
from urllib.parse import quote

import aiohttp

from foresail.explain import Account
from scaler.errors import ForesailError

_ANSWER_SECONDS_MAX: Final = 10.0


async def accounts(server: str, namespace: str, name: str) -> list[Account]:
    """The accounts of a workload, the last asked first; at least one.

    Raises:
        ForesailError: no server answers there, it is none of ours, or it knows no such workload.
    """
    url = f"{server.rstrip('/')}/explain/{quote(namespace, safe='')}/{quote(name, safe='')}"
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers={"Accept": "application/json"}) as response,
        ):
            if not response.ok:
                told = (await response.text(errors="replace")).strip()
                raise ForesailError(told or f"{url}: status {response.status}")
            return _checked(await response.json())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = "timed out" if isinstance(error, TimeoutError) else str(error)
        message = (
            f"no answer from {url}: {why}; name the second port of a running `foresail serve` with "
            "--server"
        )
        raise ForesailError(message) from error


def _checked(told: object) -> list[Account]:
    """Another program may listen on the port, or a Foresail that is much older."""
    if isinstance(told, list) and told and all(map(_is_account, told)):
        return told
    raise ValueError("what it says is no explanation of a workload")


def _is_account(one: object) -> bool:
    return isinstance(one, dict) and "workload" in one and isinstance(one.get("outcome"), dict)
