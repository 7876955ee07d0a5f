#!/usr/bin/env bash
# The same network and the same descent from three starts, two of which lead nowhere.
. "$(dirname "$0")/../fitd.sh"

echo "y = sin(3x) + noise; the noise alone has a loss of 0.01"
echo "start     loss_in_epoch_1  loss_at_the_end       r2"
for name in zeros all-alike xavier; do
    train $name < "$HERE/$name.json"
    losses $name
    first=$(awk -F, '$1 == 1 {printf "%15.4f", $2}' "$OUT/$name.csv")
    value $name "{name:9} $first {result[train_loss]:16.4f} {result[metrics][train][r2]:8.4f}"
done

echo
for name in zeros all-alike xavier; do
    pictures $name loss fit
done
