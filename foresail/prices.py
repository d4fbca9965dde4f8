"""What an operator pays for GPUs, from a file: GPU names, and dollars for an hour of one."""

from pathlib import Path

import yaml

from fleet.catalogue import Catalogue
from scaler.errors import ForesailError


def operator_prices(file: Path, catalogue: Catalogue) -> dict[str, float]:
    """Dollars by generation.

    Raises:
        ForesailError: the file cannot be read, or an entry is no price of a known GPU.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ForesailError(f"--prices {file}: {error}") from error
    if not isinstance(document, dict):
        raise ForesailError(f"--prices {file}: not a mapping of GPU names to dollars an hour")
    prices = {}
    for key, usd in document.items():
        found = catalogue.find(str(key))
        if found is None:
            raise ForesailError(f"--prices {file}: {key!r} is no GPU that `foresail gpus` lists")
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 < usd < float("inf"):
            raise ForesailError(f"--prices {file}: {key} costs {usd!r}: it takes dollars above 0")
        prices[found.name] = float(usd)
    return prices
