"""The threads in which questions to a Prometheus wait for their answers."""

from concurrent.futures import ThreadPoolExecutor

from scaler.sources.names import Names


class ReadThreads:
    """Threads of one source, or of several that share their slots; started when needed."""

    def __init__(self, count: int, owner: str) -> None:
        """Start none yet.

        Args:
            count: reads at once.
            owner: whose they are, for the names of threads.
        """
        self.reads = ThreadPoolExecutor(count, f"source-{owner}")
        self.names = Names(owner)

    async def close(self) -> None:
        self.reads.shutdown(wait=False)
        await self.names.close()
