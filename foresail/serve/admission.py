"""From settings to what the answering process needs: which objects and options it admits.

Apart from `wiring`, because that brings every source's library, and the process that answers KEDA
shall hold none of them.
"""

from foresail.clock import steady_clock
from foresail.settings.file import Settings
from scaler.serving.board import Board
from scaler.serving.server import TlsFiles


def board_of(settings: Settings) -> Board:
    """An empty board that admits what the settings offer."""
    rules = settings.tenant_rules
    return Board(
        rules.admit,
        clock=steady_clock,
        objects_max=settings.limits.objects_max,
        of_namespace_max=rules.objects_max,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    tls = settings.tls
    if tls is None:
        return None
    return TlsFiles(certificate=tls.certificate, key=tls.key, client_ca=tls.client_ca)
