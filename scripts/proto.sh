#!/bin/sh
# Generate the gRPC stubs of every file below proto/ into the folder $2 (default scaler/rpc).
set -eu
python=$1
out=${2:-scaler/rpc}
files=$(find proto -name '*.proto' | sort)
# shellcheck disable=SC2086 # one argument a file
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc --proto_path=proto --python_out="$out" \
    --mypy_out=quiet:"$out" --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" $files
# protoc imports from the top level; ours live in a package.
find "$out" -name '*_pb2*.py*' -exec sed -i \
    -e 's/^import externalscaler_pb2 as/from scaler.rpc import externalscaler_pb2 as/' \
    -e 's/^from foresail\.v1 import/from scaler.rpc.foresail.v1 import/' {} +
