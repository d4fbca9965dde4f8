"""The list of point experts. Adding one is one file and one line here."""

from collections.abc import Callable

from scaler.forecast.experts.ewma import Ewma
from scaler.forecast.experts.exogenous import Exogenous
from scaler.forecast.experts.holt import Holt
from scaler.forecast.experts.last import Last
from scaler.forecast.experts.leading import Leading
from scaler.forecast.experts.port import PointExpert, Task
from scaler.forecast.experts.profile import Profile

ROSTER: tuple[Callable[[Task], PointExpert], ...] = (
    Last,
    Ewma,
    Holt,
    Profile,
    Leading,
    Exogenous,
)
