#!/usr/bin/env bash
# The same ten epochs in portions of 1, 2, 4, … 256 rows, and of all 512.
. "$(dirname "$0")/../fitd.sh"

# Seconds from the start of a job to its end.
seconds() {
    "$PYTHON" -c '
import json, sys
from datetime import datetime
job = json.load(sys.stdin)
started, finished = (datetime.fromisoformat(job[when]) for when in ("started_at", "finished_at"))
print(f"{(finished - started).total_seconds():.2f}")' < "$OUT/$1.json"
}

echo "y = 5x + 7 + noise, 512 rows, 10 epochs, SGD with lr 0.2"
echo "batch_size    steps  seconds       loss        w        b"
for size in 1 2 4 8 16 32 64 128 256 '"full"'; do
    name=${size//\"/}
    sed "s/\"full\"/$size/; s/of full/of $name/" "$HERE/line.json" | train "$name"
    losses "$name"
    rows=${name/full/512}
    printf '%-10s %8d %8s %s\n' "$name" $((10 * (512 / rows))) "$(seconds "$name")" \
        "$(value "$name" '{result[train_loss]:10.6f} {result[coefficients][x]:8.4f} {result[intercept]:8.4f}')"
done

echo
for name in 1 32 full; do
    pictures $name loss fit
done
