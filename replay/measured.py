"""A replica's profile from what real GPUs showed, where its layers were measured.

Two tables: milliseconds of all linear layers of one iteration by the tokens in the batch
(`gpu,model,tensor_parallel,tokens,linear_layers_ms`), and of one all-reduce by its bytes
(`network,workers,devices_per_node,bytes,median_ms`). A layer ends in two all-reduces of
tokens x hidden size x 2 bytes where it is spread over GPUs. With T(n) the two together:

    a = T(1) + 2 ms                              reading the weights, and the engine
    b = (T(64) - T(1)) / 63 + 27 us              a sequence: its token, sampling, scheduling
    d = (T(2048) - T(1)) / 2048                  a prompt token, in a full chunk

Attention over the KV cache is in no table: `c` and the KV tokens that fit come from the data sheet.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from fleet.catalogue import shipped
from fleet.iteration import ModelShape
from replay.derived import derived
from replay.profile import EngineProfile
from scaler.errors import ForesailError

_ENGINE_SECONDS: Final = 0.002
_SEQUENCE_SECONDS: Final = 2.7e-5
_CHUNK_TOKENS: Final = 2048
_BATCH_SEQUENCES: Final = 64
_BYTES_EACH: Final = 2
LINEAR_LAYERS: Final = "linear_layers.csv"
ALL_REDUCE: Final = "all_reduce.csv"


class UnmeasuredError(ForesailError):
    """The tables have no such model, GPU and tensor parallel; the message says what is absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model on GPUs of one kind, as the tables name them."""

    shape: ModelShape
    """Its name is the table's."""
    gpu: str
    generation: str
    """Of the GPU catalogue."""
    tensor_parallel: int = 1
    network: str | None = None
    """Between the GPUs; None with one of them."""


_LLAMA_7B = ModelShape(
    name="Llama-2-7b-hf", parameters=6.74e9, layers=32, hidden=4096, kv_heads=32, head_size=128
)
_CODE_LLAMA_34B = ModelShape(
    name="CodeLlama-34b-Instruct-hf",
    parameters=33.7e9,
    layers=48,
    hidden=8192,
    kv_heads=8,
    head_size=128,
)
_LLAMA_70B = ModelShape(
    name="Llama-2-70b-hf", parameters=69.0e9, layers=80, hidden=8192, kv_heads=8, head_size=128
)
_QWEN_72B = ModelShape(
    name="Qwen-72B", parameters=72.3e9, layers=80, hidden=8192, kv_heads=64, head_size=128
)
SIX: Final = (
    Measured(shape=_LLAMA_7B, gpu="a100", generation="a100-sxm-80"),
    Measured(shape=_LLAMA_7B, gpu="h100", generation="h100-sxm"),
    Measured(
        shape=_CODE_LLAMA_34B, gpu="a100", generation="a100-sxm-80",
        tensor_parallel=2, network="a100_dgx",
    ),
    Measured(
        shape=_LLAMA_70B, gpu="a100", generation="a100-sxm-80",
        tensor_parallel=4, network="a100_dgx",
    ),
    Measured(
        shape=_LLAMA_70B, gpu="h100", generation="h100-sxm",
        tensor_parallel=4, network="h100_dgx",
    ),
    Measured(
        shape=_QWEN_72B, gpu="h100", generation="h100-sxm",
        tensor_parallel=8, network="h100_dgx",
    ),
)  # fmt: skip
"""Small and large, on one GPU to eight; shapes from the models' published configurations."""


class Tables:
    """The two tables of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layers: dict[tuple[str, str, int], dict[int, float]] = {}
        for row in _rows(folder / LINEAR_LAYERS):
            key = row["gpu"], row["model"], int(row["tensor_parallel"])
            self._layers.setdefault(key, {})[int(row["tokens"])] = float(row["linear_layers_ms"])
        self._reduces: dict[tuple[str, int], dict[int, float]] = {}
        for row in _rows(folder / ALL_REDUCE):
            if int(row["devices_per_node"]) < int(row["workers"]):
                continue  # between machines
            reduces = self._reduces.setdefault((row["network"], int(row["workers"])), {})
            reduces[int(row["bytes"])] = float(row["median_ms"])

    def profile(self, measured: Measured) -> EngineProfile:
        """The profile of one replica.

        Raises:
            UnmeasuredError: the tables lack it.
            UnfitError: the model does not fit.
        """
        generation = shipped().find(measured.generation)
        if generation is None:
            raise UnmeasuredError(f"{measured.generation} is in no GPU catalogue")
        one, batch, chunk = (
            self._seconds(measured, tokens) for tokens in (1, _BATCH_SEQUENCES, _CHUNK_TOKENS)
        )
        gpus = measured.tensor_parallel
        return replace(
            derived(measured.shape, generation, gpus=gpus, batched_tokens_max=_CHUNK_TOKENS),
            name=f"{measured.shape.name}-{gpus}x{measured.gpu}",
            fixed_seconds=one + _ENGINE_SECONDS,
            per_sequence_seconds=max(0.0, batch - one) / (_BATCH_SEQUENCES - 1) + _SEQUENCE_SECONDS,
            per_prefill_token_seconds=(chunk - one) / _CHUNK_TOKENS,
        )

    def _seconds(self, measured: Measured, tokens: int) -> float:
        """Of the linear layers of one iteration, with their all-reduces."""
        key = measured.gpu, measured.shape.name, measured.tensor_parallel
        milliseconds = self._layers.get(key, {}).get(tokens)
        if milliseconds is None:
            raise UnmeasuredError(
                f"{self._folder / LINEAR_LAYERS} has no row gpu={key[0]} model={key[1]} "
                f"tensor_parallel={key[2]} tokens={tokens}"
            )
        if measured.network is not None:
            reduces = self._reduces.get((measured.network, measured.tensor_parallel))
            if reduces is None:
                raise UnmeasuredError(
                    f"{self._folder / ALL_REDUCE} has no row network={measured.network} "
                    f"workers={measured.tensor_parallel} within one machine"
                )
            amount = tokens * measured.shape.hidden * _BYTES_EACH
            at = sorted(reduces)
            each = float(np.interp(amount, at, [reduces[place] for place in at]))
            milliseconds += 2 * measured.shape.layers * each
        return milliseconds / 1000


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UnmeasuredError(f"{path} cannot be read: {error.strerror}") from error
