#!/usr/bin/env bash
# One small network from one seed, and from eight: descent ends in different valleys.
. "$(dirname "$0")/../fitd.sh"

# One line for each start of a job.
runs() {
    "$PYTHON" -c '
import json, sys
result = json.load(sys.stdin)["result"]
for number, run in enumerate(result["runs"], start=1):
    kept = "  kept" if number == result["kept_run"] else ""
    print("{seed:4} {train_loss:11.4f} {dev_loss:9.4f}".format(**run) + kept)' < "$OUT/$1.json"
}

echo "Do x1 and x2 have the same sign? A network of four hidden units."
train one-start < "$HERE/one-start.json"
value one-start 'one start: dev_loss {result[dev_loss]:.4f}, accuracy {result[metrics][dev][accuracy]:.3f}'

train restarts < "$HERE/restarts.json"
echo
echo "seed  train_loss  dev_loss"
runs restarts
echo
value restarts 'best of eight: dev_loss {result[dev_loss]:.4f}, accuracy {result[metrics][dev][accuracy]:.3f}'

echo
pictures one-start loss boundary
pictures restarts loss boundary
