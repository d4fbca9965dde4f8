"""A replica's profile from a model's shape and a GPU's data sheet, where none was measured.

    a = weight bytes / (GPUs x bandwidth x 0.8) + 2 ms        reading the weights, and the engine
    b = 27 us                                                  a sequence: sampling, scheduling
    c = KV bytes a token / (GPUs x bandwidth x 0.8)            reading the cache
    d = 2 x parameters / (GPUs x FLOPS x 0.45)                 computing a prompt token
    KV tokens = (0.9 x memory - weights - 5 GiB a GPU) / KV bytes

80 % of the bandwidth and 45 % of the FLOPS are what tuned kernels reach on data-centre GPUs. `b` is
the published fit for an 8B model on an H100 (6.97 ms and 0.027 ms a sequence, in the workload
variant autoscaler's tutorial); against it `a` comes out 15 % high and the ITL at 64 streams 12 %
high. Tensor parallelism is taken as free of loss. Measure before money depends on it.
"""

from dataclasses import dataclass

from fleet.catalogue import Generation, Precision
from replay.profile import EngineProfile
from scaler.errors import ForesailError

_BANDWIDTH_RATIO = 0.8
_FLOPS_RATIO = 0.45
_ENGINE_SECONDS = 0.002
_SEQUENCE_SECONDS = 2.7e-5
_MEMORY_RATIO = 0.9
"""vLLM's gpu_memory_utilization."""
_RESERVE_BYTES = 5 * 2**30
"""Of each GPU: activations, CUDA graphs, the communicator."""
_BYTES = {Precision.FP16: 2.0, Precision.BF16: 2.0, Precision.FP8: 1.0, Precision.FP4: 0.5}


class UnfitError(ForesailError):
    """The model does not fit, or the GPU cannot compute in this precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What of a model decides its speed."""

    name: str
    parameters: float
    """Active for a token, in a mixture of experts."""
    parameters_held: float | None = None
    """In memory, where that is more."""
    layers: int
    kv_heads: int
    head_size: int

    def kv_bytes(self, bytes_each: float = 2.0) -> float:
        """Of one token: a key and a value for each layer and head."""
        return 2 * self.layers * self.kv_heads * self.head_size * bytes_each


MODELS = {
    shape.name: shape
    for shape in (
        ModelShape(name="llama-3.1-8b", parameters=8.03e9, layers=32, kv_heads=8, head_size=128),
        ModelShape(name="llama-3.3-70b", parameters=70.6e9, layers=80, kv_heads=8, head_size=128),
        ModelShape(name="qwen3-8b", parameters=8.2e9, layers=36, kv_heads=8, head_size=128),
        ModelShape(name="qwen3-32b", parameters=32.8e9, layers=64, kv_heads=8, head_size=128),
        ModelShape(
            name="qwen3-30b-a3b", parameters=3.3e9, parameters_held=30.5e9, layers=48, kv_heads=4,
            head_size=128,
        ),
        ModelShape(
            name="mistral-small-24b", parameters=23.6e9, layers=40, kv_heads=8, head_size=128
        ),
    )
}  # fmt: skip
"""From the models' published configurations."""


def derived(
    model: ModelShape,
    generation: Generation,
    *,
    gpus: int = 1,
    precision: Precision = Precision.BF16,
    sequences_max: int = 256,
    batched_tokens_max: int = 8192,
) -> EngineProfile:
    """The profile of one replica.

    Raises:
        UnfitError: the message names the model, the GPU and what is short.
    """
    what = f"{model.name} in {precision.value} on {gpus} x {generation.name}"
    tflops = generation.tflops.get(precision)
    if tflops is None:
        raise UnfitError(f"{what}: it has no {precision.value} arithmetic")
    held = (model.parameters_held or model.parameters) * _BYTES[precision]
    memory = gpus * (generation.memory_gib * 2**30 * _MEMORY_RATIO - _RESERVE_BYTES)
    room = memory - held
    if room <= 0:
        raise UnfitError(
            f"{what}: the weights take {held / 2**30:.1f} GiB and {memory / 2**30:.1f} GiB are free"
        )
    bandwidth = gpus * generation.bandwidth_gb_s * 1e9 * _BANDWIDTH_RATIO
    flops = gpus * tflops * 1e12 * _FLOPS_RATIO
    return EngineProfile(
        name=f"{model.name}-{precision.value}-{gpus}x{generation.name}",
        model_name=model.name,
        gpus=gpus,
        # A full batch of a mixture of experts reads nearly all of its weights.
        fixed_seconds=held / bandwidth + _ENGINE_SECONDS,
        per_sequence_seconds=_SEQUENCE_SECONDS,
        per_kv_token_seconds=model.kv_bytes() / bandwidth,
        per_prefill_token_seconds=2 * model.parameters / flops,
        batched_tokens_max=batched_tokens_max,
        sequences_max=sequences_max,
        kv_tokens_max=int(room / model.kv_bytes()),
    )
