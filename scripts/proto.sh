#!/bin/sh
# Generate the gRPC stubs of proto/externalscaler.proto into the folder $2 (default scaler/rpc).
set -eu
python=$1
out=${2:-scaler/rpc}
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc --proto_path=proto --python_out="$out" \
    --mypy_out=quiet:"$out" --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" proto/externalscaler.proto
# protoc imports the messages as a top-level module; ours live in a package.
sed -i 's/^import externalscaler_pb2 as/from scaler.rpc import externalscaler_pb2 as/' \
    "$out/externalscaler_pb2_grpc.py" "$out/externalscaler_pb2_grpc.pyi"
