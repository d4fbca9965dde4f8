#!/bin/sh
# Pin and hash every dependency for all platforms; the files name no registry.
set -eu
uv=$1
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --no-annotate --upgrade "$@"
}
compile pyproject.toml --output-file requirements/run.txt
compile --group build --constraint requirements/run.txt --output-file requirements/build.txt
compile --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
compile pyproject.toml --extra console --constraint requirements/dev.txt --output-file requirements/console.txt
compile --group fuzz --constraint requirements/dev.txt --output-file requirements/fuzz.txt
compile --group bench --constraint requirements/run.txt --constraint requirements/dev.txt \
    --output-file requirements/bench.txt
for servers in requirements/integration/*.in; do
    compile "$servers" --output-file "${servers%.in}.txt"
done
