"""The file that says what a replay replays on: engine, start-up, objective, bounds, money."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from fleet.catalogue import Precision, shipped
from fleet.iteration import MODELS
from fleet.objective import ITL_SECONDS, TTFT_SECONDS
from foresail.settings.values import Seconds, SecondsFromZero
from replay.derived import UnfitError, derived
from replay.fleet import FleetSettings, Shortage
from replay.nodes import NodePool
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile
from replay.replay_input import REPLICAS_MAX, Platform, fixed_start_up
from replay.score import Objective
from replay.start_up import FIVE_MINUTES, Stage, StartUp
from scaler.faults import crossed
from scaler.parts import Part

Positive = Annotated[
    float, Field(gt=0, allow_inf_nan=False, description="a number above 0, such as 0.0145")
]
FromZero = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="a number from 0, such as 0.0001")
]
Ratio = Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1, such as 0.99")]
Whole = Annotated[int, Field(ge=1, strict=True, description="a whole number from 1")]


class StagePlan(Part):
    name: str
    """What happens: node, image, weights, warm-up."""
    median: Seconds
    log_sigma: FromZero = 0.2
    """Spread of the logarithm; 0.2 puts nine of ten within 1.3 times the median."""
    once_per_node: bool = False
    """Already done where a node runs: its launch, its driver, the image."""


class ShortagePlan(Part):
    at: SecondsFromZero
    """From the start of judging."""
    lasts: Seconds


class EnginePlan(Part):
    """One replica; seconds of an iteration, as fitted from the engine's own step times."""

    name: str
    gpus: Whole = 1
    fixed_seconds: Positive
    """An iteration with nothing to do: mostly reading the weights."""
    per_sequence_seconds: FromZero
    per_kv_token_seconds: FromZero
    per_prefill_token_seconds: FromZero
    max_num_batched_tokens: Whole
    max_num_seqs: Whole
    kv_tokens: Whole
    """Tokens that fit the KV cache: `num_gpu_blocks` times the block size."""
    prefix_hit_ratio: Annotated[
        float, Field(ge=0, lt=1, description="a number from 0, below 1")
    ] = 0.0
    """Share of prompt tokens that the prefix cache holds."""

    def profile(self) -> EngineProfile:
        return EngineProfile(
            name=self.name,
            model_name=self.name,
            gpus=self.gpus,
            fixed_seconds=self.fixed_seconds,
            per_sequence_seconds=self.per_sequence_seconds,
            per_kv_token_seconds=self.per_kv_token_seconds,
            per_prefill_token_seconds=self.per_prefill_token_seconds,
            batched_tokens_max=self.max_num_batched_tokens,
            sequences_max=self.max_num_seqs,
            kv_tokens_max=self.kv_tokens,
            prefix_hit_ratio=self.prefix_hit_ratio,
        )


class DerivedPlan(Part):
    """One replica from data sheets, where nobody measured it."""

    model: str
    """One whose shape is known: llama-3.1-8b, qwen3-32b, ..."""
    gpu: str
    """By any name it goes by: h100-sxm, NVIDIA-H100-80GB-HBM3, nvidia-l4."""
    gpus: Whole = 1
    """Tensor-parallel width."""
    precision: Precision = Precision.BF16
    max_num_batched_tokens: Whole = 8192
    max_num_seqs: Whole = 256

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.model not in MODELS:
            names = ", ".join(MODELS)
            raise crossed(f"model {self.model!r} has no known shape; there are {names}", "model")
        if shipped().find(self.gpu) is None:
            names = ", ".join(one.name for one in shipped().generations)
            raise crossed(f"gpu {self.gpu!r} is in no catalogue; there are {names}", "gpu")
        try:
            self.profile()
        except UnfitError as error:
            raise crossed(str(error), "gpu") from error
        return self

    def profile(self) -> EngineProfile:
        generation = shipped().find(self.gpu)
        assert generation is not None
        return derived(
            MODELS[self.model],
            generation,
            gpus=self.gpus,
            precision=self.precision,
            sequences_max=self.max_num_seqs,
            batched_tokens_max=self.max_num_batched_tokens,
        )


class ReplicasPlan(Part):
    min: Whole = 1
    max: Whole | None = None
    """Absent: 64, or twice what the traffic's busiest minute needs where that is more."""
    mean: Positive | None = None
    """Scale the traffic so that its mean keeps so many replicas busy; absent = as recorded."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise crossed(f"min {self.min} is more than max {self.max}", "min")
        return self


class NodesPlan(Part):
    """A Karpenter NodePool under the replicas."""

    gpus: Whole
    """Of one node."""
    consolidate_after: SecondsFromZero = 0.0
    """How long an empty node is kept."""

    def pool(self) -> NodePool:
        return NodePool(gpus_per_node=self.gpus, consolidate_after_seconds=self.consolidate_after)


class ReplayPlan(Part):
    """Every key has a default; an empty file replays a 32B model that starts in five minutes."""

    start_up: Seconds | tuple[StagePlan, ...] | None = None
    """From "one more" to "it serves": a duration, or stages with a spread each."""
    nodes: NodesPlan | None = None
    """Absent: each replica brings a node of its own and goes with it."""
    shortages: tuple[ShortagePlan, ...] = ()
    """When the cloud has no GPU to give: what is ordered then starts when it is over."""
    grace: SecondsFromZero = 120.0
    """How long a drained replica may finish its streams."""
    ttft: Seconds = TTFT_SECONDS
    itl: Seconds = ITL_SECONDS
    patience: Seconds = 60.0
    """A client without a first token by then gives up, and counts as missed."""
    attainment: Ratio = 0.99
    """At which costs are compared."""
    burstiness: Positive = 2.25
    """Variance over mean of the requests in one second; 1 is Poisson."""
    replicas: ReplicasPlan = ReplicasPlan()
    engine: EnginePlan | None = None
    """As measured. With neither this nor `serves`: a 32B model in FP8 on one H100."""
    serves: DerivedPlan | None = None
    """A model on GPUs of the catalogue, where nothing was measured."""
    gpu_usd_hour: Positive | None = None

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        if self.engine and self.serves:
            raise crossed("engine and serves exclude each other: keep what was measured", "serves")
        return self

    @model_validator(mode="after")
    def _fits_a_node(self) -> Self:
        gpus = self._profile().gpus
        if self.nodes and self.nodes.gpus < gpus:
            raise crossed(f"a replica of {gpus} GPUs fits no node of {self.nodes.gpus}", "nodes")
        return self

    def _profile(self) -> EngineProfile:
        served = self.engine or self.serves
        return served.profile() if served else QWEN3_32B_FP8_H100

    @model_validator(mode="after")
    def _can_keep_pace(self) -> Self:
        profile = self._profile()
        if self.itl <= profile.fixed_seconds:
            raise crossed(
                f"{self.itl * 1000:g} ms cannot be kept: with nothing to do a replica of"
                f" {profile.name} takes {profile.fixed_seconds * 1000:g} ms for a token; set a"
                " later itl, or a faster replica under engine or serves",
                "itl",
            )
        return self

    def platform(self, replicas_max: int = REPLICAS_MAX) -> Platform:
        """What serves.

        Args:
            replicas_max: the bound where the plan names none.
        """
        profile = self._profile()
        most = self.replicas.max or max(replicas_max, self.replicas.min)
        return Platform(
            profile=profile,
            objective=Objective(ttft_seconds=self.ttft, itl_seconds=self.itl),
            fleet=FleetSettings(
                start_up=self._stages(),
                grace_seconds=self.grace,
                gpus_per_replica=profile.gpus,
                shortages=tuple(
                    Shortage(begin_seconds=one.at, end_seconds=one.at + one.lasts)
                    for one in self.shortages
                ),
                rows=2 * most,
                nodes=self.nodes.pool() if self.nodes else None,
            ),
            patience_seconds=round(self.patience),
            replicas_min=self.replicas.min,
            replicas_max=most,
            variance_ratio=self.burstiness,
        )

    def _stages(self) -> StartUp:
        match self.start_up:
            case None:
                return FIVE_MINUTES
            case float(seconds):
                return fixed_start_up(seconds)
            case stages:
                return StartUp(
                    stages=tuple(
                        Stage(
                            name=s.name,
                            median_seconds=s.median,
                            log_sigma=s.log_sigma,
                            once_a_node=s.once_per_node,
                        )
                        for s in stages
                    )
                )
