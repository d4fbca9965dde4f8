"""A client of a model with OpenTelemetry's real SDK; run by the environment that has nothing else.

Arguments: endpoint, protocol (grpc or http), temporality (delta or cumulative). Each line of its
standard input is a round: requests, prompt and generated tokens of each; it answers when they are
exported. Every request is counted under the names of two generations of the conventions, for the
models `old` and `new`.
"""

import sys
from importlib import import_module

from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader

GENERATIONS = {"old": "gen_ai.system", "new": "gen_ai.provider.name"}
SECONDS = 2.0


def count(meter: Meter, requests: int, prompt: int, generated: int) -> None:
    tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
    duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
    for model, provider in GENERATIONS.items():
        labels = {
            provider: "openai",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
        }
        for _ in range(requests):
            tokens.record(prompt, {**labels, "gen_ai.token.type": "input"})
            tokens.record(generated, {**labels, "gen_ai.token.type": "output"})
            duration.record(SECONDS, labels)


def main() -> None:
    endpoint, protocol, temporality = sys.argv[1:]
    module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.metric_exporter")
    wanted = AggregationTemporality[temporality.upper()]
    exporter = module.OTLPMetricExporter(
        endpoint=endpoint,
        compression=module.Compression.Gzip,
        preferred_temporality={Counter: wanted, Histogram: wanted},
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader])
    meter = provider.get_meter("shop")
    print("ready", flush=True)  # noqa: T201 - what the test reads
    for line in sys.stdin:
        count(meter, *map(int, line.split()))
        print(provider.force_flush(), flush=True)  # noqa: T201 - what the test reads


main()
