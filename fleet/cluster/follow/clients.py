"""Clients of API servers: by the contexts of a kubeconfig, or of the cluster we run in."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader


class ClusterUnreachableError(Exception):
    """There is no client for a cluster: its context or its credentials are missing."""


def contexts(kubeconfig: Path | None = None) -> tuple[Sequence[str], str | None]:
    """The names of all contexts, and the current one.

    Raises:
        ClusterUnreachableError: the file cannot be read.
    """
    files = _file(kubeconfig).split(os.pathsep)
    if not any(Path(one).expanduser().is_file() for one in files):
        raise ClusterUnreachableError(f"kubeconfig {_file(kubeconfig)}: no such file")
    try:
        found, current = config.list_kube_config_contexts(_file(kubeconfig))
    # Not YAML, not a mapping, a missing key: the library wraps none of these errors.
    except Exception as error:
        said = " ".join(str(error).split())
        raise ClusterUnreachableError(f"kubeconfig {_file(kubeconfig)}: {said}") from error
    return [one["name"] for one in found], current["name"] if current else None


async def connected(context: str | None, kubeconfig: Path | None = None) -> client.ApiClient:
    """A client of a context's cluster; None = the file's current one. Close it after use.

    With neither named it is the cluster we run in.

    Raises:
        ClusterUnreachableError: no such context, or no credentials to be had.
    """
    settings = client.Configuration()
    try:
        if context is None and kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            loader = await config.load_kube_config(
                config_file=_file(kubeconfig), context=context, client_configuration=settings
            )
            settings.refresh_api_key_hook = _Renewal(loader).renew
        return client.ApiClient(settings)
    # The loader runs programs and reads files of the user: it may raise anything.
    except Exception as error:
        why = str(error) or type(error).__name__
        if context is not None:
            why = f"context {context!r}: {why}"
        elif kubeconfig is not None:
            why = f"kubeconfig {kubeconfig}: {why}"
        else:
            why = f"no kubeconfig was found (set KUBECONFIG), and this is not a pod: {why}"
        raise ClusterUnreachableError(why) from error


async def connected_from_here() -> client.ApiClient:
    """A client of the cluster we run in, else of the one kubectl talks to. Close it after use.

    Raises:
        ClusterUnreachableError: neither is there.
    """
    try:
        return await connected(None)
    except ClusterUnreachableError:
        return await connected(None, Path(KUBE_CONFIG_DEFAULT_LOCATION))


class _Renewal:
    """Renews credentials of an exec plugin: they expire, and the library fetches them once."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        self._loader = loader
        self._lock = asyncio.Lock()

    async def renew(self, settings: client.Configuration) -> None:
        # Only plugins whose credentials expire set it.
        if not hasattr(self._loader, "exec_plugin_expiry"):
            return
        async with self._lock:
            try:
                await self._loader.load_from_exec_plugin()
            except Exception as error:
                raise config.ConfigException(str(error)) from error
        token = getattr(self._loader, "token", None)
        if token:
            settings.api_key["BearerToken"] = token


def _file(kubeconfig: Path | None) -> str:
    return str(kubeconfig) if kubeconfig else KUBE_CONFIG_DEFAULT_LOCATION
