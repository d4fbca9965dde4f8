"""`foresail demo --web`: the demo as pages in a browser, on this machine alone."""

import asyncio

from rich.console import Console

from foresail.console.demo_source import DemoSource
from foresail.console.server import serving
from foresail.demo.day import NAME, NAMESPACE, playback
from foresail.demo.play import Style, play


async def play_web(*, seconds: float, seed: int, port: int, console: Console) -> None:
    """Play the demo to browsers, then leave its pages until Ctrl-C.

    Args:
        seconds: of wall time for the play.
        port: 0 = a free one.

    Raises:
        ForesailError: the port is taken.
    """
    source = DemoSource(playback(seed=seed, wall_seconds=seconds))
    async with serving(source, f"127.0.0.1:{port}") as bound:
        url = f"http://127.0.0.1:{bound}/workload/{NAMESPACE}/{NAME}"
        console.print(f"Open {url}", style="bold", soft_wrap=True, highlight=False)
        scores = await play(
            seconds=seconds, seed=seed, style=Style.WEB, console=console, show=source.take
        )
        source.ended(scores)
        console.print("The pages stay until Ctrl-C.", highlight=False)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return
