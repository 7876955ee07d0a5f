#!/usr/bin/env bash
# Four searches look for the learning rate and the width of a network.
. "$(dirname "$0")/../fitd.sh"

# Begin the sweep that standard input says, and keep it, once it has ended, as NAME.json, its trials as NAME.csv.
sweep() {
    local sweep=$OUT/$1.json
    ask "$sweep" /v1/sweeps -H 'Content-Type: application/json' -H 'Prefer: wait=60' --data-binary @-
    until grep -q '"terminal":true' "$sweep"; do
        ask "$sweep" "/v1/sweeps/$(value "$1" '{id}')?wait=60"
    done
    ask "$OUT/$1.csv" "/v1/sweeps/$(value "$1" '{id}')/trials?sort=objective" -H 'Accept: text/csv'
}

# All epochs that the trials of a sweep were trained for: column 7 of the table.
epochs() {
    awk -F, 'NR > 1 {sum += $7} END {print sum}' "$OUT/$1.csv"
}

echo "y = sin(2x) + noise; the noise alone has a loss of 0.01"
echo "search              trials   epochs       lr  hidden  dev_loss"
for name in grid random tpe successive-halving; do
    sweep $name < "$HERE/$name.json"
    printf '%-18s %7s %8s %s\n' $name "$(value $name '{progress[ended]}')" "$(epochs $name)" \
        "$(value $name '{best[values][/optimizer/lr]:8.4f} {best[values][/model/hidden/0]:7d} {best[objective]:9.4f}')"
done

echo
echo "the best three of tpe: lr, hidden, dev_loss"
awk -F, 'NR > 1 && NR < 5 {printf "%10.4f %4d %10.4f\n", $13, $14, $4}' "$OUT/tpe.csv"

echo
for name in grid random tpe successive-halving; do
    for picture in parallel loss search; do
        ask "$OUT/$name-$picture.svg" "/v1/sweeps/$(value $name '{id}')/plots/$picture" -H 'Accept: image/svg+xml'
        echo "saved $OUT/$name-$picture.svg"
    done
done
