"""Reads and answers an AdmissionReview (`admission.k8s.io/v1`)."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.admission import Admission
from scheduler.object_names import is_namespace_name

VERSION: Final = "admission.k8s.io/v1"
_NAME_MAX: Final = 253
_SHOWN_MAX: Final = 64
_MESSAGE_MAX: Final = 4096
"""Characters of a denial, which ends up in an event."""


class UnreadableReviewError(ValueError):
    """A review that no API server sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The question of a review."""

    uid: str
    namespace: str
    """Of the pod; a DNS label."""
    pod: Mapping[str, Any] | None
    """The pod that is created; None = the request is about something else."""
    is_dry_run: bool


def review_of(body: bytes) -> Review:
    """The review of a request.

    Raises:
        UnreadableReviewError: the message names the field.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableReviewError(f"the body is not JSON: {error}") from error
    review = _object(document, "the body")
    if review.get("apiVersion") != VERSION or review.get("kind") != "AdmissionReview":
        raise UnreadableReviewError(
            f"the body is {str(review.get('kind'))[:64]} of {str(review.get('apiVersion'))[:64]},"
            f" not AdmissionReview of {VERSION}: list only v1 in admissionReviewVersions"
        )
    request = _object(review.get("request"), "request")
    uid, namespace = request.get("uid"), request.get("namespace", "")
    if not isinstance(uid, str) or not 0 < len(uid) <= _NAME_MAX:
        raise UnreadableReviewError("request.uid is no uid")
    pod = _pod(request)
    # A namespace becomes a part of the path where the claim template goes.
    if pod is not None and not (isinstance(namespace, str) and is_namespace_name(namespace)):
        shown = str(namespace)[:_SHOWN_MAX]
        raise UnreadableReviewError(f"request.namespace is no namespace's name: {shown!r}")
    return Review(
        uid=uid,
        namespace=str(namespace),
        pod=pod,
        is_dry_run=request.get("dryRun") is True,
    )


def _pod(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    kind = _object(request.get("kind"), "request.kind")
    asked = (kind.get("group"), kind.get("version"), kind.get("kind"))
    if asked != ("", "v1", "Pod") or request.get("operation") != "CREATE":
        return None
    if request.get("subResource"):
        return None
    return _object(request.get("object"), "request.object")


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnreadableReviewError(f"{name} is {type(value).__name__}, not an object")
    return value


def allowed(uid: str, admission: Admission) -> bytes:
    """The answer that admits the pod, with its patch."""
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if admission.patch:
        patch = json.dumps(admission.patch).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if admission.warnings:
        response["warnings"] = list(admission.warnings)
    return _answer(response)


def denied(uid: str, message: str, *, code: int) -> bytes:
    """The answer that denies the pod, with the reason."""
    status = {"code": code, "message": f"foresail: {message}"[:_MESSAGE_MAX]}
    return _answer({"uid": uid, "allowed": False, "status": status})


def _answer(response: Mapping[str, Any]) -> bytes:
    review = {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}
    return json.dumps(review, separators=(",", ":")).encode()
