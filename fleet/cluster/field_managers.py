"""Which programs write an object, by its managedFields and the marks that GitOps tools leave."""

from collections.abc import Mapping
from typing import Final

from fleet.cluster.fields import Json, listed, strings, text

_GIT_MARKS: Final[Mapping[str, str]] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of objects that a GitOps tool keeps as they are in Git."""
_GIT_MANAGERS: Final[Mapping[str, str]] = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}


def managers_of(metadata: Json, *path: str) -> frozenset[str]:
    """The field managers of a field, or of one inside it, such as of `spec`, `replicas`.

    Raises:
        UnreadableObjectError: `managedFields` is not as the API has it.
    """
    found = set()
    for entry in listed(metadata, "managedFields"):
        fields: object = entry.get("fieldsV1")
        for name in path:
            fields = fields.get(f"f:{name}") if isinstance(fields, dict) else None
        if fields is not None:
            found.add(text(entry, "manager") or "?")
    return frozenset(found)


def git_owner_of(metadata: Json) -> str | None:
    """The GitOps tool that keeps the object as it is in Git; None = none that is known.

    Raises:
        UnreadableObjectError: a field is not as the API has it.
    """
    marks = {**strings(metadata, "labels"), **strings(metadata, "annotations")}
    by_marks = (tool for key, tool in _GIT_MARKS.items() if marks.get(key))
    by_managers = filter(None, map(git_tool, sorted(_all_managers(metadata))))
    return next(by_marks, None) or next(by_managers, None)


def git_tool(manager: str) -> str | None:
    """The GitOps tool that writes as this field manager; None = it is none that is known."""
    return _GIT_MANAGERS.get(manager)


def _all_managers(metadata: Json) -> frozenset[str]:
    return frozenset(text(entry, "manager") or "" for entry in listed(metadata, "managedFields"))
