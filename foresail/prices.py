"""What an operator pays for GPUs, from a file: names, and dollars for an hour of one GPU."""

from pathlib import Path

from fleet.catalogue import Catalogue, shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.nodes import USD_MAX, CapacityType
from fleet.instances import instances
from fleet.located import Document, UnreadableYamlError
from scaler.errors import ForesailError


def prices_in(file: Path, catalogue: Catalogue) -> dict[str, float]:
    """Dollars for a GPU-hour by generation, in any name of the catalogue, or by machine type.

    Raises:
        ForesailError: the file cannot be read, or a price is none.
    """
    try:
        document = Document.sound(file.read_text(encoding="utf-8"))
    except UnreadableYamlError as error:
        raise ForesailError(f"--prices {file}: line {error.line}: {error}") from error
    except (OSError, ValueError) as error:
        raise ForesailError(f"--prices {file}: {error}") from error
    prices = {}
    for name, usd in document.value.items():
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 < usd <= USD_MAX:
            raise ForesailError(
                f"--prices {file}: line {document.line_of([name])}: {name} costs {usd!r}: "
                f"it takes dollars above 0, to {USD_MAX:g}"
            )
        bare = priced_name(str(name))
        generation = catalogue.find(bare)
        # What is no generation is a machine type, also of clouds that we do not know.
        known = generation.name if generation else bare
        prices[known + str(name).removeprefix(bare)] = float(usd)
    return prices


def priced_name(name: str) -> str:
    """The generation or machine type of a price that may be of spot or reserved machines alone."""
    bare, _, capacity_type = name.rpartition("/")
    return bare if bare and capacity_type in set(CapacityType) else name


def price_list(file: Path | None) -> Prices:
    """The price list of the operator's file and of the clouds; None = the operator has no file.

    Raises:
        ForesailError: the file cannot be read, or a price is none.
    """
    own = prices_in(file, shipped()) if file is not None else {}
    return Prices(instances=instances(), own=own)


def generation_prices_in(file: Path, catalogue: Catalogue) -> dict[str, float]:
    """The same where only generations have a price: those of machine types are left out.

    So are prices of spot or reserved machines, because no machine is chosen yet.

    Raises:
        ForesailError: as above, or a name is neither a GPU nor a machine type that is known.
    """
    prices, machine_types = {}, instances()
    for name, usd in prices_in(file, catalogue).items():
        if catalogue.find(name) is not None:
            prices[name] = usd
        elif catalogue.find(priced_name(name)) is None and priced_name(name) not in machine_types:
            raise ForesailError(
                f"--prices {file}: {name!r} is no GPU that `foresail gpus` lists, and no machine "
                "type that Foresail knows"
            )
    return prices
