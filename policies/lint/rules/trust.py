"""How KEDA and a scaler prove themselves to each other."""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.documents import Json, listed, part, text
from policies.lint.finding import Fault, Path, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import SCALED_JOB, SCALED_OBJECT, Trigger, triggers_of

_KINDS: Final = ("keda.sh/TriggerAuthentication", "keda.sh/ClusterTriggerAuthentication")
_SECRETS: Final = ("caCert", "tlsClientCert", "tlsClientKey")
_PAIR: Final = {"tlsClientCert": "tlsClientKey", "tlsClientKey": "tlsClientCert"}


@rule(
    "FS131",
    Severity.ERROR,
    on=(SCALED_OBJECT, SCALED_JOB),
    what="certificates in the metadata of a trigger",
    fix="move them to a TriggerAuthentication and name it in authenticationRef",
    source="KEDA, external_scaler.go (parseExternalScalerMetadata); kedacore/keda#7017",
)
def certificates_in_metadata(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA reads them from a TriggerAuthentication only. In the metadata they are ignored, and sent
    to the scaler as plain text. `tlsCertFile` was removed in KEDA 2.17.
    """
    for trigger in triggers_of(of):
        if not trigger.is_external:
            continue
        for name in (*_SECRETS, "tlsCertFile"):
            if name in trigger.metadata:
                why = "KEDA ignores it here, and sends it to the scaler as plain text"
                do = "move it to a TriggerAuthentication"
                yield Fault(at=(*trigger.at, "metadata", name), why=why, do=do)


@rule(
    "FS132",
    Severity.ERROR,
    on=_KINDS,
    what="half of a client certificate",
    fix="give tlsClientCert and tlsClientKey together",
    source="KEDA, tls_config.go and external_scaler.go; kedacore/keda#7017",
)
def half_a_pair(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A certificate without its key is dropped. Without caCert and enableTLS beside it, KEDA then
    speaks plain text in silence.
    """
    for at, name in _parameters(of):
        other = _PAIR.get(name)
        if other and all(one != other for _, one in _parameters(of)):
            why = f"{other} is missing, and KEDA drops the half in silence"
            yield Fault(at=at, why=why, do=f"add {other}")


@rule(
    "FS133",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a scaler asked in plain text",
    fix='set enableTLS: "true", or an authenticationRef with caCert and a client certificate',
    source="KEDA, external scaler: enableTLS; authentication parameters",
)
def plain_text(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The client certificate is the only identity in the protocol. Without it anyone who reaches
    the port can ask for the plan of any workload.
    """
    for trigger in triggers_of(of):
        if not trigger.is_foresail or _on(trigger, "enableTLS"):
            continue
        if not part(trigger.value, "authenticationRef"):
            why = "KEDA asks in plain text, and proves nothing"
            do = 'set "true", and an authenticationRef with a client certificate'
            yield Fault(at=(*trigger.at, "metadata", "enableTLS"), why=why, do=do)


@rule(
    "FS134",
    Severity.WARNING,
    on=(SCALED_OBJECT, SCALED_JOB),
    what="certificates that nobody checks",
    fix="give caCert in a TriggerAuthentication and leave unsafeSsl out",
    source="KEDA, external scaler: unsafeSsl",
)
def unsafe_ssl(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """unsafeSsl skips the check of the server's certificate; it does not turn TLS on by itself."""
    for trigger in triggers_of(of):
        if trigger.is_external and _on(trigger, "unsafeSsl"):
            why = "whoever answers is believed"
            do = "give caCert in a TriggerAuthentication, and leave this out"
            yield Fault(at=(*trigger.at, "metadata", "unsafeSsl"), why=why, do=do)


@rule(
    "FS135",
    Severity.ERROR,
    on=(SCALED_OBJECT, SCALED_JOB),
    what="an authenticationRef of the wrong kind or namespace",
    fix="set kind: ClusterTriggerAuthentication, or make it in the ScaledObject's namespace",
    source="KEDA, authentication: authenticationRef",
)
def authentication_kind(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without `kind` KEDA looks for a TriggerAuthentication in the namespace of the ScaledObject,
    and the ScaledObject is not Ready until there is one.
    """
    for trigger in triggers_of(of):
        reference = part(trigger.value, "authenticationRef")
        name = text(reference, "name")
        named = inputs.once(authentications).get(name or "", ())
        if name is None or any(_is(one, reference, of) for one in named):
            continue
        others = [one.title for one in named if _is_elsewhere(one, reference, of)]
        kind = text(reference, "kind") or "TriggerAuthentication"
        complete = f"keda.sh/{kind}" in inputs.context.complete
        if complete or (others and not inputs.context.live):
            why = f"there is no {kind} of that name here" + (f", but {others[0]}" if others else "")
            do = "correct kind or name, or make it in this namespace"
            yield Fault(at=(*trigger.at, "authenticationRef", "name"), why=why, do=do)


def authentications(inputs: Inputs) -> Mapping[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for one in inputs.of(*_KINDS):
        found.setdefault(one.name, []).append(one)
    return found


def _is(one: Object, reference: Json, of: Object) -> bool:
    kind = text(reference, "kind") or "TriggerAuthentication"
    near = kind != "TriggerAuthentication" or one.namespace in {of.namespace, ""}
    return one.kind == kind and one.name == text(reference, "name") and near


def _is_elsewhere(one: Object, reference: Json, of: Object) -> bool:
    """Whether it is of the other kind, or surely in another namespace."""
    kind = text(reference, "kind") or "TriggerAuthentication"
    return one.kind != kind or bool(of.namespace)


def _on(trigger: Trigger, name: str) -> bool:
    return str(trigger.metadata.get(name, "")).lower() == "true"


def _parameters(of: Object) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for source in of.spec:
        vault = part(of.spec, source)
        for at, entries in (
            (("spec", source), listed(of.spec, source)),
            (("spec", source, "secrets"), listed(vault, "secrets")),
        ):
            for index, one in enumerate(entries):
                found.append(((*at, index, "parameter"), text(one, "parameter") or ""))
    return found
