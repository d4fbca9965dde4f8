"""A made fleet on the console's pages until its input ends: `python -m bench._console_served 99`.

It prints the port. For the benchmark, for tests in a browser, and to look at.
"""

import asyncio
import sys

from bench._console_fleet import fleet
from foresail.console.server import serving


async def serve(workloads: int, hours: float, port: int) -> None:
    source = fleet(workloads, hours=hours)
    async with serving(source, f"127.0.0.1:{port}") as bound:
        print(bound, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    count, hours, port = [*sys.argv[1:], *("0.5", "0")[len(sys.argv) - 2 :]]
    asyncio.run(serve(int(count), float(hours), int(port)))
