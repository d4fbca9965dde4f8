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

BYTES_PER_PARAMETER: Final[Mapping[Precision, float]] = {
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    # Four bits, and an eight-bit scale for every sixteen of them.
    Precision.FP4: 0.5625,
}
FLOP_PER_PARAMETER: Final = 2.0
"""Of a forward pass, for each token (Kaplan et al. 2020, section 2.1)."""
_KNOWN_PARAMETERS: Final = (8e9, 32e9, 70e9, 405e9)
_KNOWN_KV_BYTES: Final = (131_072, 262_144, 327_680, 516_096)
"""2 x layers x 8 KV heads x 128 x 2 bytes: Llama 3.1 8B, Qwen3 32B, Llama 3.1 70B and 405B."""
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
    """GPUs of a replica; None = the fewest that hold it, by generation."""
    bottleneck: Bottleneck = Bottleneck.DECODE
    ttft_seconds: float = 2.0
    itl_seconds: float = 0.1
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
            size = self.parameters or self.weights / self._bytes_per_parameter
            each = kv_token_bytes(size) if size else 0.0
        return each * (self.prompt_tokens + self.output_tokens / 2)

    @property
    def required(self) -> float:
        """Bytes that all GPUs of a replica must have together, without the margin."""
        if self.memory_bytes is not None:
            return max(self.memory_bytes, self.weights + self.kv_request)
        return self.weights + self.concurrent_requests * self.kv_request

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
def kv_token_bytes(parameters: float) -> float:
    """KV cache of one token at 16 bits, as open models of this size have it.

    Between known models on a line in logarithms. Mixtures of experts and latent attention need a
    good deal less: tell the real figure where it is known.
    """
    known = np.log(_KNOWN_PARAMETERS), np.log(_KNOWN_KV_BYTES)
    return float(np.exp(np.interp(np.log(parameters), *known)))
