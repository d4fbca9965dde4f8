"""The fake API server with objects that can be read alone, created and replaced."""

import uuid
from dataclasses import dataclass, field

from aiohttp import web
from typing_extensions import override

from tests.fleet.api_server import ApiServer, Object


@dataclass
class WritableServer(ApiServer):
    """Takes writes of the Lease and of Events."""

    written: dict[str, Object] = field(default_factory=dict)
    """By path, with the name."""
    documents: dict[str, Object] = field(default_factory=dict)
    """Objects that can be read alone, by path."""
    events: list[Object] = field(default_factory=list)
    write_refusals: list[tuple[int, str]] = field(default_factory=list)
    """Status and message of the next writes of the Lease; they are used up."""
    event_refusals: list[tuple[int, str]] = field(default_factory=list)

    @override
    def routes(self, app: web.Application) -> None:
        leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        app.router.add_get(f"{leases}/{{name}}", self._read)
        app.router.add_post(leases, self._create)
        app.router.add_put(f"{leases}/{{name}}", self._replace)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}", self._read)
        app.router.add_post("/apis/events.k8s.io/v1/namespaces/{namespace}/events", self._event)
        super().routes(app)

    async def _read(self, request: web.Request) -> web.Response:
        found = self.written.get(request.path) or self.documents.get(request.path)
        return _status(404, "not found") if found is None else web.json_response(found)

    async def _create(self, request: web.Request) -> web.Response:
        document = await request.json()
        path = f"{request.path}/{document['metadata']['name']}"
        if self.write_refusals:
            return _status(*self.write_refusals.pop(0))
        if path in self.written:
            return _status(409, "already exists")
        return self._stored(path, document)

    async def _replace(self, request: web.Request) -> web.Response:
        document = await request.json()
        found = self.written.get(request.path)
        if self.write_refusals:
            return _status(*self.write_refusals.pop(0))
        if found is None:
            return _status(404, "not found")
        if document["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified")
        return self._stored(request.path, document)

    async def _event(self, request: web.Request) -> web.Response:
        if self.event_refusals:
            return _status(*self.event_refusals.pop(0))
        self.events.append(await request.json())
        return web.json_response(self.events[-1], status=201)

    def _stored(self, path: str, document: Object) -> web.Response:
        self.version += 1
        uid = self.written.get(path, {}).get("metadata", {}).get("uid") or str(uuid.uuid4())
        metadata = {**document["metadata"], "resourceVersion": str(self.version), "uid": uid}
        self.written[path] = {**document, "metadata": metadata}
        return web.json_response(self.written[path])


def _status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": message}
    return web.json_response(body, status=code)
