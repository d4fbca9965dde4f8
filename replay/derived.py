"""A replica's profile from a model's shape and a GPU's data sheet, where none was measured.

    a = reading the weights + all-reduces + 0.5 ms of the engine     (fleet.iteration)
    b = 27 us                                              a sequence: sampling, scheduling
    c = reading a token of the cache
    d = computing a prompt token + its all-reduces
    KV tokens = (0.9 x memory - weights - 5 GiB a GPU) / KV bytes

`b` is the published fit for an 8B model on an H100 (6.97 ms and 0.027 ms a sequence, in the
workload variant autoscaler's tutorial); against it `a` comes out 9 % high and the ITL at 64 streams
7 % high. Measure before money depends on it.
"""

from fleet.catalogue import Generation, Precision
from fleet.iteration import (
    ModelShape,
    kv_token_seconds,
    prompt_token_seconds,
    reduce_seconds,
    reduce_token_seconds,
    weights_seconds,
)
from replay.profile import EngineProfile
from scaler.errors import ForesailError

_ENGINE_SECONDS = 0.0005
_SEQUENCE_SECONDS = 2.7e-5
_MEMORY_RATIO = 0.9
"""vLLM's gpu_memory_utilization."""
_RESERVE_BYTES = 5 * 2**30
"""Of each GPU: activations, CUDA graphs, the communicator."""


class UnfitError(ForesailError):
    """The model does not fit, or the GPU cannot compute in this precision."""


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
    held = model.weight_bytes(precision)
    memory = gpus * (generation.memory_gib * 2**30 * _MEMORY_RATIO - _RESERVE_BYTES)
    room = memory - held
    if room <= 0:
        raise UnfitError(
            f"{what}: the weights take {held / 2**30:.1f} GiB and {memory / 2**30:.1f} GiB are free"
        )
    return EngineProfile(
        name=f"{model.name}-{precision.value}-{gpus}x{generation.name}",
        model_name=model.name,
        gpus=gpus,
        fixed_seconds=weights_seconds(model, generation, gpus=gpus, precision=precision)
        + reduce_seconds(model, gpus=gpus)
        + _ENGINE_SECONDS,
        per_sequence_seconds=_SEQUENCE_SECONDS,
        per_kv_token_seconds=kv_token_seconds(model, generation, gpus=gpus),
        per_prefill_token_seconds=prompt_token_seconds(model, generation, gpus=gpus, tflops=tflops)
        + reduce_token_seconds(model, generation, gpus=gpus),
        batched_tokens_max=batched_tokens_max,
        sequences_max=sequences_max,
        kv_tokens_max=int(room / model.kv_bytes()),
    )
