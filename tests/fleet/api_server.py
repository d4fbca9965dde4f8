"""An API server as far as readers see it: lists in pages, watches, versions, and its bad days."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.prometheus import free_port

Object = dict[str, Any]

_ALWAYS = 1 << 60
"""A version that every watch is older than."""


@dataclass
class Collection:
    """The objects behind one path."""

    kind: str
    objects: dict[str, Object] = field(default_factory=dict)
    log: list[tuple[int, str, Object]] = field(default_factory=list)
    """Version, type, object of each event since the last compaction."""


@dataclass(frozen=True)
class Write:
    """A request that changes something."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: Any


@dataclass
class ApiServer:
    """Serves collections on loopback; tests change them, and what it answers."""

    collections: dict[str, Collection] = field(default_factory=dict)
    version: int = 100
    compacted: int = 0
    refusals: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    """Status and headers of the next answers; they are used up."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """The query of each request, with its `path` and `authorization`."""
    forbidden: set[str] = field(default_factory=set)
    watch_forbidden: bool = False
    documents: dict[str, Object] = field(default_factory=dict)
    """Of paths that are no collections."""
    writes: list[Write] = field(default_factory=list)
    """Requests that change something, also those that were refused."""
    taking: Callable[[Write], tuple[int, Object]] = lambda _: (200, {})
    """Status and body of the answer to a write."""
    lost_answers: int = 0
    """Of so many writes to come, the answer never arrives."""
    port: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _cuts: int = 0
    _ends: int = 0
    _runner: web.AppRunner | None = None
    _listening: asyncio.Server | None = None

    # -- what a test does to it -------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        self.routes(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        # While it is stopped no client's end may get the port, as one of the kernel's choice could.
        self.port = self.port or free_port()
        self._listening = await loop.create_server(
            self._runner.server, "127.0.0.1", self.port, reuse_address=True
        )

    def routes(self, app: web.Application) -> None:
        """What is answered; a server that keeps objects of its own has more."""
        app.router.add_get("/{path:.*}", self._answer)
        for method in ("PATCH", "DELETE"):
            app.router.add_route(method, "/{path:.*}", self._answer_write)

    async def stop(self) -> None:
        if self._runner is None or self._listening is None:
            return
        # asyncio loses the socket of a connection that it accepts while it closes the listener.
        for one in self._listening.sockets:
            asyncio.get_running_loop().remove_reader(one.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._listening.close()
        await self.cut()
        await self._runner.cleanup()
        self._runner = None

    def serve(self, path: str, kind: str, *objects: Object) -> None:
        """Have a collection; what stood there is replaced, and no watch told of it."""
        self.version += 1
        found = Collection(kind)
        for one in objects:
            found.objects[_key(one)] = self._stamped(one)
        self.collections[path] = found

    async def put(self, path: str, document: Object) -> None:
        collection = self.collections[path]
        kind = "MODIFIED" if _key(document) in collection.objects else "ADDED"
        self.version += 1
        collection.objects[_key(document)] = stamped = self._stamped(document)
        await self._tell(collection, kind, stamped)

    async def delete(self, path: str, name: str) -> None:
        collection = self.collections[path]
        self.version += 1
        await self._tell(collection, "DELETED", self._stamped(collection.objects.pop(name)))

    async def tell(self, path: str, kind: str, document: Object) -> None:
        """An event that is not of an object: a bookmark, an error, nonsense."""
        async with self._news:
            self.collections[path].log.append((_ALWAYS, kind, document))
            self._news.notify_all()

    def compact(self) -> None:
        """Forget what was before now."""
        self.compacted = self.version
        for collection in self.collections.values():
            collection.log.clear()

    async def cut(self) -> None:
        """Break every open watch off."""
        async with self._news:
            self._cuts += 1
            self._news.notify_all()

    async def end(self) -> None:
        """End every open watch as a server does that was asked to: after all it had to say."""
        async with self._news:
            self._ends += 1
            self._news.notify_all()

    # -- what it does -----------------------------------------------------------------------------

    def _stamped(self, document: Object) -> Object:
        metadata = {**document["metadata"], "resourceVersion": str(self.version)}
        return {**document, "metadata": metadata}

    async def _tell(self, collection: Collection, kind: str, document: Object) -> None:
        async with self._news:
            collection.log.append((self.version, kind, document))
            self._news.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        who = request.headers.get("Authorization", "")
        self.asked.append({**query, "path": request.path, "authorization": who})
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.json_response(
                _status(status, "as the test wants it"), status=status, headers=headers
            )
        if request.path in self.forbidden or (self.watch_forbidden and "watch" in query):
            return web.json_response(_status(403, "not for you"), status=403)
        if request.path in self.documents:
            return web.json_response(self.documents[request.path])
        collection = self.collections.get(request.path)
        if collection is None:
            return web.json_response(_status(404, "could not find"), status=404)
        if "watch" in query:
            return await self._watch(request, collection, int(query["resourceVersion"]))
        return self._list(collection, query)

    async def _answer_write(self, request: web.Request) -> web.StreamResponse:
        write = Write(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            content_type=request.content_type,
            body=await request.json(),
        )
        self.writes.append(write)
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.json_response(
                _status(status, "as the test wants it"), status=status, headers=headers
            )
        status, body = self.taking(write)
        if self.lost_answers:
            self.lost_answers -= 1
            if request.transport is not None:
                request.transport.abort()
        return web.json_response(body, status=status)

    def _list(self, collection: Collection, query: Mapping[str, str]) -> web.Response:
        start, version = 0, self.version
        if "continue" in query:
            start, version = map(int, query["continue"].split("/"))
            if version < self.compacted:
                return web.json_response(_status(410, "continue token expired"), status=410)
        size = int(query.get("limit", 1 << 30))
        everything = sorted(collection.objects)
        metadata = {"resourceVersion": str(version)}
        if start + size < len(everything):
            metadata["continue"] = f"{start + size}/{version}"
        items = [_bare(collection.objects[name]) for name in everything[start : start + size]]
        return web.json_response(
            {
                "kind": f"{collection.kind}List",
                "apiVersion": "v1",
                "metadata": metadata,
                "items": items,
            }
        )

    async def _watch(
        self, request: web.Request, collection: Collection, version: int
    ) -> web.StreamResponse:
        if version < self.compacted:
            return web.json_response(_status(410, "too old resource version"), status=410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        done, cuts, ends = 0, self._cuts, self._ends
        while True:
            async with self._news:
                while (cuts, ends) == (self._cuts, self._ends) and done >= len(collection.log):
                    await self._news.wait()
            if cuts != self._cuts:
                if request.transport is not None:
                    request.transport.abort()
                return response
            fresh, done = collection.log[done:], len(collection.log)
            lines = [
                json.dumps({"type": kind, "object": document}) + "\n"
                for at, kind, document in fresh
                if at > version
            ]
            await response.write("".join(lines).encode())
            if ends != self._ends:
                return response


def _key(document: Object) -> str:
    return str(document["metadata"]["name"])


def _bare(document: Object) -> Object:
    """As the items of a list are: without kind and apiVersion."""
    return {key: value for key, value in document.items() if key not in {"kind", "apiVersion"}}


def _status(code: int, message: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "message": message}
