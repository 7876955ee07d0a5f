#!/usr/bin/env bash
# Run examples one after the other: all of them, or those in the folders that are named.
#
# They run against the service at FITD_URL. Without FITD_URL it is the one on PORT, 8000 when left out; where none
# answers, one is started there for the time (FITD says how: fitd when left out), and ends with this script.
set -euo pipefail

PORT=${PORT:-8000}
given=${FITD_URL:-}
export FITD_URL=${given:-http://127.0.0.1:$PORT}

is_ready() {
    curl --silent --fail --output /dev/null "$FITD_URL/readyz"
}

# A worker loads torch before it is ready, which takes seconds.
start_service() {
    folder=$(mktemp -d)
    "${FITD:-fitd}" serve --port "$PORT" --data-dir "$folder/data" 2> "$folder/log" &
    service=$!
    trap 'kill $service 2> /dev/null || true; wait $service || true; rm -rf "$folder"' EXIT
    until is_ready; do
        kill -0 $service 2> /dev/null || { cat "$folder/log" >&2; exit 1; }
        sleep 0.2
    done
}

if [ -z "$given" ] && ! is_ready; then
    echo "starting a service on port $PORT …"
    start_service
fi
[ $# -gt 0 ] || set -- "$(dirname "$0")"/*/run.sh
for example in "$@"; do
    script=${example%/run.sh}/run.sh
    printf '\n== %s ==\n' "$(basename "$(dirname "$script")")"
    bash "$script"
done
