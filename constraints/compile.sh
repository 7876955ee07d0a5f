#!/bin/sh
# Resolve the pinned, hashed constraints for every platform and Python from 3.11.
# torch and the CUDA libraries that some of its builds bring are left out: the reader of the
# Makefile chooses the build, torch pins its CUDA libraries itself, and one version of torch
# has different files (and so hashes) on different indexes.
set -eu
cd "$(dirname "$0")/.."
compile() {
    output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-package torch --no-emit-package triton "$@" \
        --custom-compile-command "make constraints" pyproject.toml --output-file "$output.tmp"
    python3 constraints/drop_cuda.py "$output.tmp" "$output"
    rm "$output.tmp"
}
compile constraints/runtime.txt --extra postgresql
compile constraints/dev.txt --extra dev --constraint constraints/runtime.txt
