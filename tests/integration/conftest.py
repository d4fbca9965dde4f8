"""Real servers from PyPI, where FORESAIL_INTEGRATION says that they were installed."""

from tests.integration.environments import INSTALLED

# The default test run installs none of them and does not look in here.
collect_ignore_glob = [] if INSTALLED else ["test_*.py"]
