"""When the certificates of a process run out, as the series that `foresail serve` shows too."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from scaler.serving.certificate_expiry import first_expiry
from scaler.serving.metrics import CERTIFICATE_EXPIRY


class CertificateEnds(Collector):
    """Reads the files at each scrape, so that a renewed one is seen at once."""

    def __init__(self, files: Mapping[str, Path | None]) -> None:
        """Read nothing yet.

        Args:
            files: by the option that names each; None = it names none.
        """
        self._files = {option: file for option, file in files.items() if file is not None}

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        about = "When the first certificate of the file runs out, in Unix time."
        family = GaugeMetricFamily(CERTIFICATE_EXPIRY, about, labels=["setting"])
        for option, file in self._files.items():
            first = first_expiry(file)
            if first is not None:  # not measured is not zero
                family.add_metric([option], first)
        yield family
