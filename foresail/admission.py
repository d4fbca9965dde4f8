"""From settings to what the answering process needs: which objects it admits, with which wishes.

Apart from `wiring`, because that brings every source's library, and the process that answers KEDA
shall hold none of them.
"""

from foresail.clock import steady_clock
from foresail.settings import Settings
from scaler.board import Board
from scaler.metadata import Offer, parse
from scaler.server import TlsFiles
from scaler.sources.catalogue import load, shipped


def offer_of(settings: Settings) -> Offer:
    """What a trigger's metadata may choose."""
    return Offer(
        engines={name: load(name).survives_zero for name in shipped()},
        sources=frozenset(source.name for source in settings.sources),
        default_source=settings.source_by_default,
        address_prefixes=settings.limits.metadata_addresses,
        replicas_max=settings.limits.replicas_max,
    )


def board_of(settings: Settings) -> Board:
    """An empty board that admits what the settings offer."""
    offer = offer_of(settings)
    return Board(
        lambda metadata: parse(metadata, offer),
        clock=steady_clock,
        objects_max=settings.limits.objects_max,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    tls = settings.tls
    if tls is None:
        return None
    return TlsFiles(certificate=tls.certificate, key=tls.key, client_ca=tls.client_ca)
