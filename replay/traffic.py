"""LLM traffic made from a seed: requests for a run, and the days before it as rates.

The rate is a day curve (log-sinusoid: the ratio of peak to trough is exact) times weekday, a slow
random drift, a launch that stays and a flash crowd that passes. Around it arrivals are
gamma-Poisson: more uneven than Poisson, as seen in served traces. Requests are of two kinds, chat
and documents, with lognormal lengths; the share of documents moves over the day, so that the ratio
of prompt to generated tokens moves too and a demand in requests alone would mislead.

Second 0 is midnight at the start of the run; the past has negative seconds. The same settings and
seed give the same arrays. Nothing here knows how fast an engine is.
"""

from dataclasses import dataclass
from math import erf, exp, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from replay.profile import RequestMix

DAY_SECONDS = 86_400
_GRID_SECONDS = 60

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Tokens = NDArray[np.int32]
"""Of single requests: a day has millions of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """A lognormal number of tokens, cut at `tokens_max`."""

    mean_tokens: float
    log_sigma: float
    tokens_max: int

    @property
    def log_mu(self) -> float:
        """Mean of the logarithm."""
        return log(self.mean_tokens) - self.log_sigma**2 / 2

    def moment(self, order: int) -> float:
        """E[min(X, max)^order]; the cut matters for the square of a wide distribution."""
        cut = (log(self.tokens_max) - self.log_mu) / self.log_sigma
        below = exp(order * self.log_mu + (order * self.log_sigma) ** 2 / 2)
        below *= _normal_cdf(cut - order * self.log_sigma)
        return below + float(self.tokens_max) ** order * (1 - _normal_cdf(cut))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKind:
    """One kind of request."""

    prompt: Lengths
    output: Lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashCrowd:
    """A crowd that comes within minutes, stays a while and fades."""

    at_seconds: float
    ratio: float
    """Rate at its height, as a multiple of the rate without it."""
    ramp_seconds: float = 180
    hold_seconds: float = 900
    fade_seconds: float = 900
    """Time constant of the exponential fade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A step that stays: a product switched on for more people."""

    at_seconds: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSettings:
    """Everything that shapes the traffic but the seed."""

    peak_requests_per_second: float
    """Expected rate at the peak of a plain weekday."""
    trough_ratio: float = 0.25
    """Rate at the trough over rate at the peak."""
    peak_hour: float = 14.5
    weekend_ratio: float = 0.6
    first_weekday: int = 1
    """Weekday of second 0; 0 is Monday."""
    drift_log_sigma: float = 0.07
    """Spread of the slow random drift: why tomorrow is not today again."""
    drift_hours: float = 3.0
    """Time in which the drift forgets itself."""
    burst_variance_ratio: float = 2.25
    """Variance over mean of the requests in one second; 1 would be Poisson."""
    chat: RequestKind = RequestKind(
        prompt=Lengths(mean_tokens=800, log_sigma=0.9, tokens_max=16_384),
        output=Lengths(mean_tokens=330, log_sigma=0.7, tokens_max=2048),
    )
    documents: RequestKind = RequestKind(
        prompt=Lengths(mean_tokens=2600, log_sigma=0.7, tokens_max=16_384),
        output=Lengths(mean_tokens=180, log_sigma=0.6, tokens_max=2048),
    )
    documents_share_by_day: float = 0.15
    documents_share_by_night: float = 0.45
    flash_crowds: tuple[FlashCrowd, ...] = ()
    launches: tuple[Launch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """Requests in order of arrival; three arrays of one length."""

    arrival_seconds: Floats
    prompt_tokens: Tokens
    output_tokens: Tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateHistory:
    """What a range query would have shown: one value a step, each over the step before its time."""

    at_seconds: Floats
    prompt_tokens_per_second: Floats
    generated_tokens_per_second: Floats
    requests_per_second: Floats


class Traffic:
    """One drawing of the traffic: `days_before` days of past and `seconds` of run."""

    def __init__(
        self, settings: TrafficSettings, *, seed: int, seconds: int, days_before: int = 7
    ) -> None:
        self.settings = settings
        self.seconds = seconds
        self._seed = seed
        self._from_seconds = -days_before * DAY_SECONDS
        grid = np.arange(self._from_seconds, seconds + 2 * _GRID_SECONDS, _GRID_SECONDS)
        drift = _drift(settings, steps=len(grid), generator=np.random.default_rng((seed, 0)))
        self._grid_seconds = grid.astype(np.float64)
        self._grid_rate = _plain_rate(settings, self._grid_seconds) * drift

    def requests_per_second(self, at_seconds: Floats) -> Floats:
        """The expected rate, drift and events included: what a clairvoyant would know."""
        rate = np.interp(at_seconds, self._grid_seconds, self._grid_rate)
        return rate * _events_ratio(self.settings, at_seconds)

    def mix_at(self, at_seconds: float) -> RequestMix:
        """Means over the requests of one moment."""
        share = float(documents_share(self.settings, np.array([at_seconds]))[0])
        return _blend(_mix(self.settings.chat), _mix(self.settings.documents), share)

    def requests(self) -> Requests:
        """Every request of the run."""
        generator = np.random.default_rng((self._seed, 1))
        seconds = np.arange(self.seconds, dtype=np.float64)
        counts = gamma_poisson(
            self.requests_per_second(seconds), self.settings.burst_variance_ratio, generator
        )
        arrivals = np.repeat(seconds, counts) + generator.random(int(counts.sum()))
        # The random part stays inside its second, so sorting leaves the counts as drawn.
        arrivals.sort()
        is_document = generator.random(len(arrivals)) < documents_share(self.settings, arrivals)
        prompts = np.empty(len(arrivals), dtype=np.int32)
        outputs = np.empty(len(arrivals), dtype=np.int32)
        kinds = ((self.settings.chat, ~is_document), (self.settings.documents, is_document))
        for kind, mask in kinds:
            size = int(mask.sum())
            prompts[mask] = _tokens(kind.prompt, size, generator)
            outputs[mask] = _tokens(kind.output, size, generator)
        return Requests(arrival_seconds=arrivals, prompt_tokens=prompts, output_tokens=outputs)

    def history(self, *, step_seconds: int) -> RateHistory:
        """The days before second 0 as rates, drawn without making a single request.

        A step's counts have the mean and variance that the requests would have had; tokens have the
        spread of a sum of that many lengths.
        """
        generator = np.random.default_rng((self._seed, 2))
        ends = np.arange(self._from_seconds + step_seconds, 1, step_seconds, dtype=np.float64)
        middles = ends - step_seconds / 2
        mean = self.requests_per_second(middles) * step_seconds
        counts = gamma_poisson(mean, self.settings.burst_variance_ratio, generator).astype(
            np.float64
        )
        share = documents_share(self.settings, middles)
        chat, documents = self.settings.chat, self.settings.documents
        prompts = _token_sums(counts, share, (chat.prompt, documents.prompt), generator)
        outputs = _token_sums(counts, share, (chat.output, documents.output), generator)
        return RateHistory(
            at_seconds=ends,
            prompt_tokens_per_second=prompts / step_seconds,
            generated_tokens_per_second=outputs / step_seconds,
            requests_per_second=counts / step_seconds,
        )


def documents_share(settings: TrafficSettings, at_seconds: Floats) -> Floats:
    """Share of requests that bring a document, lowest at the peak of the day."""
    middle = (settings.documents_share_by_day + settings.documents_share_by_night) / 2
    swing = (settings.documents_share_by_night - settings.documents_share_by_day) / 2
    return middle - swing * _day_wave(settings, at_seconds)


def _day_wave(settings: TrafficSettings, at_seconds: Floats) -> Floats:
    wave: Floats = np.cos(2 * pi * (at_seconds / DAY_SECONDS - settings.peak_hour / 24))
    return wave


def _plain_rate(settings: TrafficSettings, at_seconds: Floats) -> Floats:
    swing = -log(settings.trough_ratio) / 2
    day: Floats = np.exp(swing * (_day_wave(settings, at_seconds) - 1))
    weekday = (settings.first_weekday + at_seconds // DAY_SECONDS) % 7
    saturday = 5
    of_week = np.where(weekday >= saturday, settings.weekend_ratio, 1.0)
    # A weekend does not begin with a jump at midnight: two hours blend it in.
    blend = 2 * 3600 // _GRID_SECONDS
    padded = np.pad(of_week, (blend, 0), mode="edge")
    smooth = np.convolve(padded, np.full(blend + 1, 1 / (blend + 1)), mode="valid")
    return settings.peak_requests_per_second * day * smooth


def _drift(settings: TrafficSettings, *, steps: int, generator: np.random.Generator) -> Floats:
    """Draw the exponential of an Ornstein-Uhlenbeck path on the grid."""
    keep = exp(-_GRID_SECONDS / (settings.drift_hours * 3600))
    kicks = generator.standard_normal(steps) * settings.drift_log_sigma * sqrt(1 - keep**2)
    path = np.empty(steps)
    level = float(generator.standard_normal()) * settings.drift_log_sigma
    for step, kick in enumerate(kicks.tolist()):
        level = keep * level + kick
        path[step] = level
    drift: Floats = np.exp(path)
    return drift


def _events_ratio(settings: TrafficSettings, at_seconds: Floats) -> Floats:
    ratio = np.ones(at_seconds.shape)
    for launch in settings.launches:
        ratio *= np.where(at_seconds >= launch.at_seconds, launch.ratio, 1.0)
    for crowd in settings.flash_crowds:
        since = at_seconds - crowd.at_seconds
        fading = np.maximum(since - crowd.ramp_seconds - crowd.hold_seconds, 0)
        height = np.clip(since / crowd.ramp_seconds, 0, 1) * np.exp(-fading / crowd.fade_seconds)
        ratio *= 1 + (crowd.ratio - 1) * height
    return ratio


def gamma_poisson(mean: Floats, variance_ratio: float, generator: np.random.Generator) -> Ints:
    """Counts with variance `variance_ratio` * mean: a Poisson whose rate is gamma."""
    excess = variance_ratio - 1
    if excess <= 0:
        return generator.poisson(mean)
    return generator.poisson(generator.gamma(np.maximum(mean, 1e-12) / excess, excess))


def _tokens(lengths: Lengths, size: int, generator: np.random.Generator) -> Tokens:
    drawn = np.exp(generator.standard_normal(size) * lengths.log_sigma + lengths.log_mu)
    return np.clip(np.rint(drawn), 1, lengths.tokens_max).astype(np.int32)


def _token_sums(
    counts: Floats,
    documents: Floats,
    lengths: tuple[Lengths, Lengths],
    generator: np.random.Generator,
) -> Floats:
    """Sum of `counts` lengths a step, by its mean and variance (central limit)."""
    first = _blend_arrays(lengths[0].moment(1), lengths[1].moment(1), documents)
    second = _blend_arrays(lengths[0].moment(2), lengths[1].moment(2), documents)
    spread = np.sqrt(counts * np.maximum(second - first**2, 0))
    sums = counts * first + spread * generator.standard_normal(len(counts))
    return np.maximum(sums, 0)


def _mix(kind: RequestKind) -> RequestMix:
    prompt, output = kind.prompt.moment(1), kind.output.moment(1)
    return RequestMix(
        prompt_tokens=prompt,
        output_tokens=output,
        context_token_steps=output * prompt + kind.output.moment(2) / 2,
    )


def _blend(left: RequestMix, right: RequestMix, share: float) -> RequestMix:
    def between(a: float, b: float) -> float:
        return a * (1 - share) + b * share

    return RequestMix(
        prompt_tokens=between(left.prompt_tokens, right.prompt_tokens),
        output_tokens=between(left.output_tokens, right.output_tokens),
        context_token_steps=between(left.context_token_steps, right.context_token_steps),
    )


def _blend_arrays(left: float, right: float, share: Floats) -> Floats:
    return left * (1 - share) + right * share


def _normal_cdf(value: float) -> float:
    return (1 + erf(value / sqrt(2))) / 2
