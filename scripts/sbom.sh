#!/bin/sh
# The CycloneDX bill of materials of the locked requirements $2, into $3. The tool runs in an environment
# of its own by $1 (uv), so that none of its dependencies is ours.
set -eu
mkdir -p "$(dirname "$3")"
exec "$1" tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements "$2" \
    --pyproject pyproject.toml --mc-type application --output-reproducible --output-file "$3"
