"""The console needs no bed, only a browser; it is tested with all that needs what a machine has."""

import os

# As the default test run looks into none of the folders beside this one.
collect_ignore_glob = [] if os.environ.get("FORESAIL_BED") else ["test_*.py"]
