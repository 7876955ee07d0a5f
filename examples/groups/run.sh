#!/usr/bin/env bash
# A thousand sensors, each with a scale and an offset of its own: one line for each of them, in one job.
. "$(dirname "$0")/../fitd.sh"

# Keep groups of the job as FILE: a page of JSON, or the whole table in another format: `keep FILE [QUERY [TYPE]]`.
keep() {
    ask "$OUT/$1" "/v1/jobs/$(value calibrate '{id}')/groups${2:+?$2}" -H "Accept: ${3:-application/json}"
}

"$PYTHON" "$HERE/write_sensors.py" "$OUT/sensors.csv"
id=$(upload sensors "$OUT/sensors.csv" text/csv)
value sensors '{rows} readings'
sed "s/DATASET/$id/" "$HERE/calibrate.json" | train calibrate
value calibrate '{result[groups][succeeded]} models, {result[groups][failed]} failed; {progress[seconds]:.2f} seconds'

echo
echo "sensor       rows   scale  offset  dev_loss"
keep first.json limit=5
"$PYTHON" -c '
import json, sys
for one in json.load(sys.stdin)["data"]:
    figures = one["coefficients"]["reading"], one["intercept"], one["dev_loss"]
    print("{:12} {:4} {:7.3f} {:7.3f} {:9.4f}".format(one["group"], one["rows"]["train"], *figures))' < "$OUT/first.json"

echo
keep failed.json status=failed
value failed '{data[0][group]} has no model: {data[0][error][message]}'

keep table.csv "" text/csv
echo "$(($(wc -l < "$OUT/table.csv") - 1)) lines are in $OUT/table.csv"

ask "$OUT/prediction.json" "/v1/jobs/$(value calibrate '{id}')/predict" -H 'Content-Type: application/json' --data-binary \
    '{"rows": [{"sensor": "s-0000", "reading": 20}, {"sensor": "s-0012", "reading": 20}]}'
echo
value prediction 'A reading of 20 degrees is {rows[0][celsius]:.2f} at s-0000 and {rows[1][celsius]:.2f} at s-0012.'

echo
pictures calibrate loss
