"""What serving one replica of a model needs of its GPUs: memory, and work for each token.

Arithmetic of dense transformers with grouped-query attention, from a few numbers that people know.
It refuses to guess a model's size. What the estimate of its KV cache is worth, `kv_token_bytes`
says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from typing_extensions import override

from fleet.catalogue import Bottleneck, Precision
from fleet.objective import ITL_SECONDS, TTFT_SECONDS

BYTES_PER_PARAMETER: Final[Mapping[Precision, float]] = {
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    # Four bits, and an eight-bit scale for every sixteen of them.
    Precision.FP4: 0.5625,
    # Four bits, and a 16-bit scale and a four-bit zero for every 128 of them.
    Precision.INT4: (4 + 20 / 128) / 8,
    Precision.AWQ: (4 + 20 / 128) / 8,
    Precision.GPTQ: (4 + 20 / 128) / 8,
}
FLOP_PER_PARAMETER: Final = 2.0
"""Of a forward pass, for each token (Kaplan et al. 2020, section 2.1)."""
_KNOWN_PARAMETERS: Final = (8e9, 32e9, 70e9, 405e9)
_KNOWN_KV_BYTES: Final = (131_072, 262_144, 327_680, 516_096)
"""2 x layers x 8 KV heads x 128 x 2 bytes: Llama 3.1 8B, Qwen3 32B, Llama 3.1 70B and 405B."""
_KNOWN_DENSE: Final = (1e9, *_KNOWN_PARAMETERS)
_KNOWN_ACTIVATIONS: Final = (16 * 2048, 32 * 4096, 64 * 5120, 80 * 8192, 126 * 16384)
"""Layers x hidden size: the same models, and Llama 3.2 1B before them."""
_GIB: Final = 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A replica's need: of a model, or of memory alone.

    Raises:
        ValueError: neither is given.
    """

    parameters: float | None = None
    active_parameters: float | None = None
    """That one token passes through; None = all of them."""
    weights_bytes: float | None = None
    """None = by parameters and precision."""
    memory_bytes: float | None = None
    """Of all GPUs together, without the margin; in place of what the model's size says."""
    kv_token_bytes: float | None = None
    """KV cache for one token; None = as models of this size have it."""
    prompt_tokens: float = 1024
    output_tokens: float = 256
    concurrent_requests: int = 32
    """That must fit at once, each half way through its answer."""
    precision: Precision | None = None
    """None = any of a known memory; a model's parameters are then counted at 16 bits."""
    tensor_parallel: int | None = None
    """GPUs of a replica; None = the cheapest width for a token, by generation."""
    attention_heads: int | None = None
    """Of the model; None = not told, and any power of two is taken to divide them."""
    vendors: frozenset[str] | None = None
    """Whose GPUs the engine's image runs on; None = NVIDIA, and those of models that are named."""
    bottleneck: Bottleneck = Bottleneck.DECODE
    ttft_seconds: float = TTFT_SECONDS
    itl_seconds: float = ITL_SECONDS
    only: frozenset[str] = frozenset()
    """Generations that will do; empty = any."""
    preferred: frozenset[str] = frozenset()
    """Generations to try first, at any price."""
    excluded: frozenset[str] = frozenset()
    price_source: str | None = None
    memory_margin: float = 0.1
    """Ratio of a GPU's memory that stays free, for activations and fragments of it."""
    same_pcie_root: bool = False
    """Whether GPUs without NVLink must hang on one PCIe root."""

    def __post_init__(self) -> None:
        if self.parameters is None and self.weights_bytes is None and self.memory_bytes is None:
            raise ValueError("a need without a model's size and without memory")

    @property
    def weights(self) -> float:
        """Bytes of the weights; 0 where only memory was told."""
        if self.weights_bytes is not None:
            return self.weights_bytes
        return (self.parameters or 0.0) * self._bytes_per_parameter

    @property
    def _bytes_per_parameter(self) -> float:
        return BYTES_PER_PARAMETER[self.precision or Precision.BF16]

    @property
    def passed_parameters(self) -> float | None:
        """Parameters that a token passes through; None = the model is not known."""
        if self.active_parameters is not None:
            return self.active_parameters
        if self.parameters is not None:
            return self.parameters
        return self.weights / self._bytes_per_parameter or None

    @property
    def kv_request(self) -> float:
        """Bytes of KV cache of a request half way through its answer; 0 = no model known."""
        each = self.kv_token_bytes
        if each is None:
            size = self.passed_parameters
            each = kv_token_bytes(size) if size else 0.0
        return each * (self.prompt_tokens + self.output_tokens / 2)

    @property
    def required(self) -> float:
        """Bytes that all GPUs of a replica must have together, without the margin."""
        if self.memory_bytes is not None:
            return max(self.memory_bytes, self.weights + self.kv_request)
        return self.weights + self.concurrent_requests * self.kv_request

    @property
    def activations(self) -> float:
        """Layers x hidden size of the model; 0 = no model known."""
        passed = self.passed_parameters
        return 0.0 if passed is None else layers_by_hidden(passed)

    def widths(self, gpus_max: int) -> list[int]:
        """GPUs of a replica to try on a node with so many: an engine splits heads evenly."""
        if self.tensor_parallel is not None:
            return [self.tensor_parallel]
        powers = [2**at for at in range(gpus_max.bit_length())]
        return [gpus for gpus in powers if (self.attention_heads or gpus) % gpus == 0]

    def each_mib(self, gpus: int) -> int:
        """MiB that each of `gpus` GPUs must have, margin included, rounded up."""
        return -int(-self.required / gpus / (1 - self.memory_margin) // 2**20)

    @override
    def __str__(self) -> str:
        model = f"{self.parameters / 1e9:g}B" if self.parameters else ""
        size = f"{self.weights / _GIB:.1f} GiB weights" if self.weights else ""
        parts = [
            " ".join(filter(None, (model, self.precision.value if self.precision else ""))),
            size,
            f"{self.required / _GIB:.1f} GiB in all",
            f"{self.bottleneck.value}-bound",
        ]
        return ", ".join(filter(None, parts))


@lru_cache(256)
def kv_token_bytes(passed_parameters: float) -> float:
    """KV cache of one token at 16 bits, as open models of this size have it.

    Between known models on a line in logarithms. A mixture of experts has about the cache of a
    dense model of its active parameters, or less: Qwen3 235B-A22B has 188 KiB, the line 212;
    gpt-oss 120B 72 KiB, the line 128. Latent attention has a good deal less (DeepSeek V3: 69 KiB,
    the line 267): tell the real figure where it is known.
    """
    known = np.log(_KNOWN_PARAMETERS), np.log(_KNOWN_KV_BYTES)
    return float(np.exp(np.interp(np.log(passed_parameters), *known)))


@lru_cache(256)
def layers_by_hidden(passed_parameters: float) -> float:
    """Layers x hidden size of open dense models with so many parameters, on the same line.

    A mixture of experts is close to the dense model of its active parameters: DeepSeek V3 has
    61 x 7168 = 0.44 million with 37B, and the line says 0.37.
    """
    known = np.log(_KNOWN_DENSE), np.log(_KNOWN_ACTIVATIONS)
    return float(np.exp(np.interp(np.log(passed_parameters), *known)))
