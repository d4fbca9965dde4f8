"""Extenders in kube-scheduler's configuration."""

from collections.abc import Iterator
from typing import Final

from fleet.cluster.fields import go_duration_seconds
from fleet.documents import Json, is_object, listed, part, text
from policies.lint.finding import Fault, Path, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule

CONFIGURATION: Final = "kubescheduler.config.k8s.io/KubeSchedulerConfiguration"
_TIMEOUT_DEFAULT: Final = 5.0
_TIMEOUT_MAX: Final = 1.0
_SHARE: Final = "percentageOfNodesToScore"
_SPREADING: Final = ("NodeResourcesFit", "NodeResourcesBalancedAllocation")


@rule(
    "FS301",
    Severity.WARNING,
    on=CONFIGURATION,
    what="an extender whose failure stops scheduling",
    fix="set ignorable: true",
    source="Kubernetes API, KubeSchedulerConfiguration: Extender.ignorable",
)
def not_ignorable(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """While an extender with a filter does not answer, each pod of that scheduler stays pending."""
    for at, extender in _extenders(of):
        if extender.get("ignorable") is not True and text(extender, "filterVerb"):
            why = "while it does not answer, every pod stays pending"
            yield Fault(at=(*at, "ignorable"), why=why, do="set true")


@rule(
    "FS302",
    Severity.WARNING,
    on=CONFIGURATION,
    what="an extender that is sent whole nodes",
    fix="set nodeCacheCapable: true",
    source="Kubernetes API, Extender.nodeCacheCapable; kubernetes/kubernetes#72634",
)
def whole_nodes(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """18 MiB a pod at 1,000 GPU nodes in place of 33 KiB of names; such extenders fell below ten
    pods a second. Foresail answers with names only.
    """
    for at, extender in _extenders(of):
        if extender.get("nodeCacheCapable") is not True and _asks(extender):
            why = "each call carries whole Node objects: megabytes a pod"
            yield Fault(at=(*at, "nodeCacheCapable"), why=why, do="set true")


@rule(
    "FS303",
    Severity.ERROR,
    on=CONFIGURATION,
    what="managedResources that hide pods with claims",
    fix="leave managedResources out",
    source="kube-scheduler, extender.go (IsInterested); KEP-4381",
)
def managed_resources(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Only requests of containers are compared. A pod whose GPUs come by spec.resourceClaims names
    no such resource, and the extender is never asked about it.
    """
    for at, extender in _extenders(of):
        if _is_foresail(extender) and any(True for _ in listed(extender, "managedResources")):
            why = "pods whose GPUs come by claims are not sent to Foresail"
            yield Fault(at=(*at, "managedResources"), why=why, do="leave it out")


@rule(
    "FS304",
    Severity.ERROR,
    on=CONFIGURATION,
    what="prioritise without a weight",
    fix="set weight: 10",
    source="Kubernetes API, Extender.weight; validation of KubeSchedulerConfiguration",
)
def without_weight(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """kube-scheduler refuses to start: prioritizeVerb needs a weight above 0."""
    for at, extender in _extenders(of):
        weight = extender.get("weight")
        if text(extender, "prioritizeVerb") and not (isinstance(weight, int) and weight > 0):
            why = "kube-scheduler does not start with prioritizeVerb and no weight above 0"
            yield Fault(at=(*at, "weight"), why=why, do="set 10")


@rule(
    "FS305",
    Severity.WARNING,
    on=CONFIGURATION,
    what="an extender that may take long",
    fix="set httpTimeout: 1s or less",
    source="Kubernetes API, Extender.httpTimeout (0 = 5 s)",
)
def long_timeout(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The scheduling cycle is serial: a call that hangs holds up every pod until it times out, 5 s
    by default. Foresail answers in milliseconds.
    """
    for at, extender in _extenders(of):
        seconds = go_duration_seconds(extender.get("httpTimeout")) or _TIMEOUT_DEFAULT
        if _asks(extender) and seconds > _TIMEOUT_MAX:
            why = f"one call that hangs holds up every pod for {seconds:g} s"
            yield Fault(at=(*at, "httpTimeout"), why=why, do="set 1s")


@rule(
    "FS306",
    Severity.WARNING,
    on=CONFIGURATION,
    what="an order over a sample of the nodes",
    fix="set percentageOfNodesToScore: 100",
    source="Kubernetes, scheduler performance tuning; kubernetes/kubernetes#18414",
)
def samples_nodes(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """By default kube-scheduler stops at 42 % of 1,000 nodes and at 10 % of 5,000. The node that
    fits best is often not among those that the extender is asked about. What a profile states holds
    for it in place of the whole configuration's.
    """
    if not any(text(one, "prioritizeVerb") for _, one in _extenders(of)):
        return
    profiles = list(enumerate(listed(of.value, "profiles")))
    stated: dict[Path, object] = {
        ("profiles", index, _SHARE): profile[_SHARE]
        for index, profile in profiles
        if profile.get(_SHARE) is not None
    }
    if not profiles or len(stated) < len(profiles):
        stated[(_SHARE,)] = of.value.get(_SHARE)
    for at, share in stated.items():
        if share != 100:  # noqa: PLR2004
            why = "the best node may not be among those that the extender is asked about"
            yield Fault(at=at, why=why, do="set 100")


@rule(
    "FS307",
    Severity.ERROR,
    on=CONFIGURATION,
    what="HTTPS without a CA",
    fix="set tlsConfig.caFile, or plain HTTP over loopback",
    source="kube-scheduler, extender.go (makeTransport)",
)
def https_unverified(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without a CA the client does not verify the server, in silence."""
    for at, extender in _extenders(of):
        tls = part(extender, "tlsConfig")
        has_ca = text(tls, "caFile") or text(tls, "caData")
        https = extender.get("enableHTTPS") is True
        if https and not has_ca:
            why = "without a CA kube-scheduler does not verify the server"
            yield Fault(at=(*at, "tlsConfig", "caFile"), why=why, do="name the CA's file")


@rule(
    "FS308",
    Severity.ERROR,
    on=CONFIGURATION,
    what="a question that Foresail does not answer",
    fix="leave bindVerb and preemptVerb out",
    source="docs/scheduler.md; Kubernetes API, Extender.bindVerb",
)
def verbs(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail filters and prioritises; binding is kube-scheduler's. And one extender at the most
    may bind: with two kube-scheduler does not start.
    """
    binders = [(at, one) for at, one in _extenders(of) if text(one, "bindVerb")]
    for at, extender in _extenders(of):
        for name in ("bindVerb", "preemptVerb"):
            if _is_foresail(extender) and text(extender, name):
                why = "Foresail answers filter and prioritize"
                yield Fault(at=(*at, name), why=why, do="leave it out")
    if len(binders) > 1:
        why = "a second extender that binds: kube-scheduler does not start"
        yield Fault(at=(*binders[1][0], "bindVerb"), why=why, do="leave it out")


@rule(
    "FS311",
    Severity.INFO,
    on=CONFIGURATION,
    what="plugins that spread pods beside Foresail",
    fix="disable NodeResourcesFit and NodeResourcesBalancedAllocation under plugins.score",
    source="Kubernetes, scheduler configuration: scheduling plugins; docs/scheduler.md",
)
def spreads(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """By default NodeResourcesFit prefers the emptiest node, and NodeResourcesBalancedAllocation
    mixes: the opposite of keeping nodes and islands whole.
    """
    if not any(_is_foresail(one) and text(one, "prioritizeVerb") for _, one in _extenders(of)):
        return
    for index, profile in enumerate(listed(of.value, "profiles")):
        off = {text(one, "name") for one in listed(part(profile, "plugins", "score"), "disabled")}
        left = [name for name in _SPREADING if name not in off and "*" not in off]
        if left:
            at = ("profiles", index, "plugins", "score", "disabled")
            why = f"{' and '.join(left)} spread pods over nodes"
            yield Fault(at=at, why=why, do="disable them, as deploy/examples/scheduler.yaml does")


def _extenders(of: Object) -> Iterator[tuple[Path, Json]]:
    extenders = of.value.get("extenders")
    for index, one in enumerate(extenders if isinstance(extenders, list) else ()):
        if is_object(one):
            yield ("extenders", index), one


def _is_foresail(extender: Json) -> bool:
    """By its address, or by the two verbs on the port that `foresail scheduler` has by default."""
    url = (text(extender, "urlPrefix") or "").lower()
    return "foresail" in url or url.rstrip("/").endswith(":8888")


def _asks(extender: Json) -> bool:
    return bool(text(extender, "filterVerb") or text(extender, "prioritizeVerb"))
