"""A controller that makes some rounds and kills itself after so many writes, as a crash would.

    python -m tests.e2e.nodes.mortal_controller --kubeconfig FILE --identity a --writes 1

It prints the request after which it died. Its Lease and its Events do not count as writes.
"""

# ruff: noqa: T201 - it talks to the test that started it

import argparse
import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import ApiClient

from tests.e2e.nodes.controller_run import controller_run

ROUNDS, ROUND_SECONDS = 4, 10.0
"""Where it has nothing to write; by its clocks, it does not wait so long."""
_NOT_COUNTED = ("/leases", "/events")
_PAUSE_SECONDS = 0.5


def dies_after(writes: int, client: ApiClient) -> None:
    """Kill this process when the API server has answered so many writes of this client."""
    call_api, left = client.call_api, writes

    async def counted(path: str, method: str, *given: Any, **options: Any) -> Any:
        nonlocal left
        answer = await call_api(path, method, *given, **options)
        if method != "GET" and not any(part in path for part in _NOT_COUNTED):
            left -= 1
            if left == 0:
                print(method, path, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return answer

    client.call_api = counted


async def _rounds(options: argparse.Namespace) -> None:
    async with controller_run(
        options.kubeconfig,
        identity=options.identity,
        state=options.state,
        ahead_seconds=options.ahead,
        prepare=lambda client: dies_after(options.writes, client),
    ) as run:
        for _ in range(ROUNDS):
            await run.round()
            run.later(ROUND_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--identity", required=True)
    parser.add_argument("--writes", type=int, required=True)
    parser.add_argument("--ahead", type=float, default=0.0)
    parser.add_argument("--state", type=Path)
    asyncio.run(_rounds(parser.parse_args()))


if __name__ == "__main__":
    main()
