#!/usr/bin/env bash
# A fit leaves the service: as coefficients, and as a plain PyTorch script that repeats it to the last bit.
. "$(dirname "$0")/../fitd.sh"

train line < "$HERE/line.json"
exports=/v1/jobs/$(value line '{id}')/exports

ask "$OUT/coefficients.json" "$exports/coefficients"
value coefficients 'y = {coefficients[x]!r} * x + {intercept!r}'

ask "$OUT/line.py" "$exports/script"
echo
echo "the script, without its data and its comparison:"
sed -n '/^# --- The model/,/^# --- The fit/p' "$OUT/line.py" | grep -v '^# ---' | grep .

echo
echo "what it says when it is run:"
"$PYTHON" "$OUT/line.py" | tail -n 10
