"""A receiver of OTLP in a process of its own; run by the environment that has nothing else.

It prints its port, and as JSON what arrived once its standard input ends.
"""

import json
import sys

from tests.foresail.otlp_collector import attributes, collecting

with collecting() as collector:
    print(collector.port, flush=True)  # noqa: T201 - what the test reads
    sys.stdin.read()
    spans = [
        {
            "name": span.name,
            "process": process,
            "trace": span.trace_id.hex(),
            "parent": span.parent_span_id.hex(),
            "links": [link.trace_id.hex() for link in span.links],
            "attributes": attributes(span.attributes),
            "events": [event.name for event in span.events],
        }
        for process, span in collector.spans
    ]
    metrics = sorted({metric.name for _, metric in collector.metrics})
    logs = sorted({record.body.string_value for _, record in collector.logs})
    print(json.dumps({"spans": spans, "metrics": metrics, "logs": logs}))  # noqa: T201 - what the test reads
