"""A client of the one cluster that a command's options name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.follow.clients import ClusterUnreachableError, connected
from scaler.errors import ForesailError


@asynccontextmanager
async def client_of(context: str | None, kubeconfig: Path | None) -> AsyncIterator[ApiClient]:
    """A client; with neither named, of the cluster we run in.

    Raises:
        ForesailError: there is no such file or context, and no service account.
    """
    try:
        client = await connected(context, kubeconfig)
    except ClusterUnreachableError as error:
        raise ForesailError(f"no cluster to follow: {error}") from error
    async with client:
        yield client
