"""The webhook in this process, on a thread of its own, under the ServiceAccount of the example."""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from typing import Any, Self

from aiohttp import web
from kubernetes_asyncio import config

from foresail.claim_webhook import claim_webhook
from scheduler.admission import GivenBy
from scheduler.webhook import PATH
from tests.e2e.bed import Bed
from tests.prometheus import free_port

USER = "system:serviceaccount:foresail:foresail-scheduler"


class WebhookServer:
    """Serves while it is entered, for the bed's user `claims`."""

    def __init__(self, bed: Bed, given_by: GivenBy) -> None:
        self.port = free_port()
        self._bed = bed
        self._given_by = given_by
        self._ready: Future[asyncio.Event] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def configuration(self, example: dict[str, Any], ca: str) -> dict[str, Any]:
        """The example's, to our address in place of a Service."""
        (webhook,) = example["webhooks"]
        told = {"url": f"https://127.0.0.1:{self.port}{PATH}", "caBundle": ca}
        return {**example, "webhooks": [{**webhook, "clientConfig": told}]}

    def __enter__(self) -> Self:
        self._thread.start()
        self._stop = self._ready.result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def _device_classes(self) -> frozenset[str]:
        found = self._bed.read("/apis/resource.k8s.io/v1/deviceclasses")["items"]
        return frozenset(one["metadata"]["name"] for one in found)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        kubeconfig = str(self._bed.kubeconfig("claims"))
        async with await config.new_client_from_config(kubeconfig) as client:
            app = claim_webhook(
                client, self._device_classes, given_by=self._given_by, prices_file=None
            )
            runner = web.AppRunner(app)
            await runner.setup()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._bed.file("server.crt"), self._bed.file("server.key"))
            await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context).start()
            self._ready.set_result(stop)
            await stop.wait()
            await runner.cleanup()
            # TLS connections are closed in the loop's next rounds.
            await asyncio.sleep(0.25)
