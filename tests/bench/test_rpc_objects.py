"""The objects of `bench rpc` and `bench attack` are taken by a server with its default limits."""

from bench._rpc_calls import bench_object
from foresail.serve.admission import board_of
from foresail.settings.file import Settings
from scaler.decision.answers import Reference


def test_2000_objects_are_admitted_and_their_metadata_are_understood() -> None:
    source = {"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}
    board = board_of(Settings.model_validate({"sources": [source]}))
    for index in range(2000):
        sent = bench_object(index)
        board.ask(Reference.of(sent.namespace, sent.name, sent.scalerMetadata))

    assert sum(entry.trigger_spec is not None for entry in board) == 2000
