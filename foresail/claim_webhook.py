"""The webhook that gives annotated pods what `foresail claim` would print for them."""

from pathlib import Path

from aiohttp import web
from kubernetes_asyncio.client import ApiClient

from fleet.catalogue import shipped
from foresail.prices import prices_in
from scheduler.admission import GivenBy, Policy
from scheduler.webhook import ClusterTemplates, DeviceClasses, Webhook


def claim_webhook(
    client: ApiClient,
    device_classes: DeviceClasses,
    *,
    given_by: GivenBy,
    prices_file: Path | None,
) -> web.Application:
    """What answers admission, to be served over TLS.

    Args:
        client: that applies the claim templates.
        device_classes: of the cluster.
        given_by: who hands out the GPUs.
        prices_file: YAML, dollars for a GPU's hour by generation.

    Raises:
        ForesailError: the prices cannot be used.
    """
    catalogue = shipped()
    priced = prices_in(prices_file, catalogue) if prices_file else {}
    # A claim names generations; prices of machine types are the score's.
    own = {name: usd for name, usd in priced.items() if catalogue.find(name)} or None
    policy = Policy(catalogue=catalogue, given_by=given_by, usd_per_gpu_hour=own)
    return Webhook(
        policy=policy, templates=ClusterTemplates(client), device_classes=device_classes
    ).application()
