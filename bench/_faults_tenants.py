"""Faults of tenants: one that floods the board with objects, edits, names and metadata."""

from bench._faults_row import Fault, Observed
from scaler.decision.answers import Reference
from scaler.errors import MetadataError
from scaler.message_text import MESSAGE_BYTES_MAX
from scaler.serving.board import Board, BoardFullError
from scaler.tenants import TenantRules
from scaler.trigger_parsing import AllowedOptions, parse

_ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
_HONEST = 1000
_FLOOD = 10_000


def faults() -> list[Fault]:
    return [
        Fault(
            name="objects-flood",
            part="serve",
            by="model",
            fault=f"One namespace makes {_FLOOD} ScaledObjects",
            expected=f"{_HONEST} others are admitted",
            run=lambda: _beside([{"model": f"m-{n}"} for n in range(_FLOOD)], one_object=False),
        ),
        Fault(
            name="edits-flood",
            part="serve",
            by="model",
            fault=f"One namespace edits a ScaledObject {_FLOOD} times",
            expected=f"{_HONEST} others are admitted",
            run=lambda: _beside([{"model": f"m-{n}"} for n in range(_FLOOD)], one_object=True),
        ),
        Fault(
            name="unknown-keys",
            part="serve",
            by="model",
            fault="A trigger has 1,600 keys that nobody knows",
            expected="a message of at most 1024 bytes",
            run=_unknown_keys,
        ),
    ]


def _beside(metadata: list[dict[str, str]], *, one_object: bool) -> Observed:
    rules = TenantRules(_ALLOWED, objects_max=1000)
    now = [0.0]
    board = Board(
        rules.admit,
        clock=lambda: now[0],
        objects_max=5000,
        of_namespace_max=rules.objects_max,
    )
    refused = 0
    for number, each in enumerate(metadata):
        now[0] += 0.01
        try:
            board.ask(Reference.of("hostile", "a" if one_object else f"a-{number}", each))
        except BoardFullError:
            refused += 1
    kept = len(board)
    lost = 0
    for number in range(_HONEST):
        try:
            board.ask(Reference.of(f"team-{number % 10}", f"o-{number}", {"model": "m"}))
        except BoardFullError:
            lost += 1
    return Observed(
        text=f"{kept} of {len(metadata)} kept, {refused} refused",
        wrong_scale_downs=None,
        lost=lost,
        recovered_seconds=None,
        ok=lost == 0 and kept <= rules.objects_max("hostile"),
    )


def _unknown_keys() -> Observed:
    size = 0
    try:
        parse({"model": "m", **{f"k{n}": "v" for n in range(1600)}}, _ALLOWED)
    except MetadataError as error:
        size = len(str(error).encode())
    return Observed(
        text=f"{size} bytes",
        wrong_scale_downs=None,
        lost=0,
        recovered_seconds=None,
        ok=0 < size <= MESSAGE_BYTES_MAX,
    )
