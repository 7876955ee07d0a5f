#!/usr/bin/env bash
# A model that is too large for its data, and one that is too small, each with its cures.
. "$(dirname "$0")/../fitd.sh"

show() {
    local name
    for name in "$@"; do
        train "$name" < "$HERE/$name.json"
        value "$name" '{name:14} {result[split][rows][train]:10} {result[train_loss]:11.4f} {result[dev_loss]:9.4f} {result[kept_epoch]:11}'
    done
}

echo "y = sin(3x) + noise; the noise alone has a loss of 0.09"
echo "job            train_rows  train_loss  dev_loss  kept_epoch"
show over-fit penalty more-data early-stopping
echo
echo "job            train_rows  train_loss  dev_loss  kept_epoch"
show high-bias larger-model
echo
for name in over-fit penalty more-data early-stopping high-bias larger-model; do
    pictures $name loss fit
done
