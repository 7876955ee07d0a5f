#!/usr/bin/env bash
# A CSV with words, dates and gaps: what drives the heating energy of a building?
. "$(dirname "$0")/../fitd.sh"

# One line for each part of the rows.
metrics() {
    "$PYTHON" -c '
import json, sys
result = json.load(sys.stdin)["result"]
for part, found in result["metrics"].items():
    rows = result["split"]["rows"][part]
    print("{:14} {:5} {:5} {r2:7.3f} {mae:7.1f} {rmse:7.1f}".format(sys.argv[1], part, rows, **found))' "$1" < "$OUT/$1.json"
}

# One line for each coefficient, in the units of the table.
coefficients() {
    "$PYTHON" -c '
import json, sys
result = json.load(sys.stdin)["result"]
for name, found in {**result["coefficients"], "intercept": result["intercept"]}.items():
    print(f"{name:18} {found:9.3f}")' < "$OUT/$1.json"
}

"$PYTHON" "$HERE/write_heating.py" "$OUT/heating.csv"
head -4 "$OUT/heating.csv"
id=$(upload heating "$OUT/heating.csv" text/csv)
value heating '{rows} rows; area is missing in {columns[3][missing]}, outside in {columns[4][missing]}'

echo
echo "job            part   rows      r2     mae    rmse"
for name in gaps-filled gaps-dropped; do
    sed "s/DATASET/$id/" "$HERE/$name.json" | train $name
    metrics $name
done

echo
echo "coefficient          kWh a day"
coefficients gaps-dropped

ask "$OUT/prediction.json" "/v1/jobs/$(value gaps-filled '{id}')/predict" -H 'Content-Type: application/json' --data-binary \
    '{"rows": [{"district": "north", "insulation": "old", "area": 1000, "outside": 0},
               {"district": "north", "insulation": "old", "area": 1000, "outside": null}]}'
echo
value prediction 'An old building of 1000 m2 in the north: {rows[0][energy]:.0f} kWh at 0 degrees, {rows[1][energy]:.0f} kWh if nobody knows'

echo
for name in gaps-filled gaps-dropped; do
    pictures $name loss predicted residuals residual_histogram
done
