"""A bed's API server by HTTP, as its admin: kubectl is a process, and costs a tenth of a second."""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import requests

Object = dict[str, Any]
_SECONDS_MAX = 120
"""Of one request, with the handshake; the API server itself gives up after a minute."""
_JSON = "application/json"
_STRICT, _DRY = "fieldValidation=Strict", "&dryRun=All"
_ALL_USERS = "system:authenticated"
_BUSY = {requests.codes.too_many_requests, requests.codes.service_unavailable}
_TRIES_MAX = 10
"""Where the API server has too much to do, and says when to ask again."""


class ApiServer:
    """Reads and changes objects by their API paths, over connections that are kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle of CAs in the environment would win over ours
        self._collections: dict[tuple[str, str], tuple[str, bool]] = {}
        """A kind's plural and whether it has namespaces, by its version and name."""

    def close(self) -> None:
        self.session.close()

    def read(self, path: str) -> Object:
        """An object or a list.

        Raises:
            HTTPError: it is not there.
        """
        answer = self.session.get(f"{self.url}{path}", timeout=_SECONDS_MAX)
        answer.raise_for_status()
        found: Object = answer.json()
        return found

    def send(self, verb: str, path: str, document: Mapping[str, Any] | None = None) -> None:
        """Change an object; a PATCH is a merge.

        Raises:
            HTTPError: it was refused.
        """
        kind = "application/merge-patch+json" if verb == "PATCH" else _JSON
        self._request(verb, path, document, kind).raise_for_status()

    def apply(self, document: Object, *, dry: bool = False) -> None:
        """Make an object what `document` says, as `kubectl apply --server-side` does.

        Args:
            document: the object; a field that its kind does not have is refused.
            dry: the server says whether it takes it, and keeps nothing.

        Raises:
            RuntimeError: it was refused, or no such kind is served; with what the server said.
        """
        path = f"{self.path_of(document)}?fieldManager=kubectl&{_STRICT}{_DRY if dry else ''}"
        _taken(self._asked_again("PATCH", path, document, "application/apply-patch+yaml"))

    def create(self, document: Object, *, dry: bool = False, user: str | None = None) -> Object:
        """Make an object that is not there yet, as `kubectl create` does; what the server made.

        Args:
            document: the object; a field that its kind does not have is refused.
            dry: the server says what it would make, and keeps nothing.
            user: who asks, in place of the admin.

        Raises:
            RuntimeError: it was refused, or no such kind is served; with what the server said.
        """
        path = f"{self._collection_of(document)}?{_STRICT}{_DRY if dry else ''}"
        whom = {"Impersonate-User": user, "Impersonate-Group": _ALL_USERS} if user else {}
        made: Object = _taken(self._asked_again("POST", path, document, headers=whom)).json()
        return made

    def is_there(self, path: str, *, uid: str | None = None) -> bool:
        """Whether there is an object, the one with this UID where it is given."""
        answer = self.session.get(f"{self.url}{path}", timeout=_SECONDS_MAX)
        if answer.status_code == requests.codes.not_found:
            return False
        answer.raise_for_status()
        return uid is None or bool(answer.json()["metadata"]["uid"] == uid)

    def delete(self, path: str) -> str | None:
        """Ask for an object to be deleted, and after it what it owns.

        Returns:
            The UID of the object, which may be there until others are done with it; None = there
            was none.
        """
        answer = self.session.get(f"{self.url}{path}", timeout=_SECONDS_MAX)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        gone = self._request("DELETE", path, options)
        if gone.status_code != requests.codes.not_found:
            gone.raise_for_status()
        uid: str = answer.json()["metadata"]["uid"]
        return uid

    def path_of(self, document: Object) -> str:
        """Of an object, by its document; one that names no namespace is in `default`.

        Raises:
            RuntimeError: no such kind is served.
        """
        return f"{self._collection_of(document)}/{document['metadata']['name']}"

    def _collection_of(self, document: Object) -> str:
        version, kind = document["apiVersion"], document["kind"]
        plural, has_namespaces = self._served(version, kind)
        namespace = document.get("metadata", {}).get("namespace", "default")
        space = f"/namespaces/{namespace}" if has_namespaces else ""
        return f"{_group(version)}{space}/{plural}"

    def _served(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._collections:
            answer = self.session.get(f"{self.url}{_group(version)}", timeout=_SECONDS_MAX)
            if answer.status_code != requests.codes.not_found:
                answer.raise_for_status()
                for one in answer.json()["resources"]:
                    if "/" not in one["name"]:  # a subresource
                        served = one["name"], one["namespaced"]
                        self._collections[version, one["kind"]] = served
        try:
            return self._collections[version, kind]
        except KeyError:
            raise RuntimeError(f"no {kind} of {version} is served") from None

    def _asked_again(self, *request: Any, **more: Any) -> requests.Response:
        """As kubectl does."""
        for _ in range(_TRIES_MAX):
            answer = self._request(*request, **more)
            seconds = answer.headers.get("Retry-After")
            if answer.status_code not in _BUSY or seconds is None:
                break
            time.sleep(float(seconds))
        return answer

    def _request(
        self,
        verb: str,
        path: str,
        document: Mapping[str, Any] | None,
        kind: str = _JSON,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> requests.Response:
        return self.session.request(
            verb,
            f"{self.url}{path}",
            data=None if document is None else json.dumps(document),
            headers={"Content-Type": kind, **headers},
            timeout=_SECONDS_MAX,
        )


def _group(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _taken(answer: requests.Response) -> requests.Response:
    if answer.ok:
        return answer
    try:
        message = answer.json()["message"]  # of a Status
    except (ValueError, KeyError):
        message = f"{answer.status_code} {answer.text}"
    raise RuntimeError(f"{answer.request.method} {answer.request.path_url}: {message}")
