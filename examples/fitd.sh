# What the examples share; each sources it. Everything is plain curl, but for three things: python3 and awk read
# answers, because curl cannot, and sed changes a word in a spec, such as the id of an uploaded dataset.
#
#   FITD_URL      address of the service; http://127.0.0.1:8000 when left out
#   FITD_API_KEY  its key, if it asks for one
#   FITD_OUTPUT   folder for pictures and answers; `output` beside the script when left out
#   PYTHON        the python to use; python3 when left out

set -euo pipefail

URL=${FITD_URL:-http://127.0.0.1:8000}
PYTHON=${PYTHON:-python3}
HERE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
OUT=${FITD_OUTPUT:-$HERE/output}
mkdir -p "$OUT"

# Ask the service, and keep what it answers: `ask FILE PATH [curl's options]`. A problem is printed and ends the script.
ask() {
    local file=$1 path=$2
    shift 2
    rm -f "$file"
    curl --silent --show-error --fail-with-body --output "$file" \
        ${FITD_API_KEY:+--header "Authorization: Bearer $FITD_API_KEY"} "$@" "$URL$path" && return
    [ ! -f "$file" ] || cat "$file" <(echo) >&2
    return 1
}

# Train what standard input says, and keep the job, once it has ended, as NAME.json: `train NAME < spec.json`.
train() {
    local job=$OUT/$1.json
    ask "$job" /v1/jobs -H 'Content-Type: application/json' -H 'Prefer: wait=60' --data-binary @-
    until grep -q '"terminal":true' "$job"; do
        ask "$job" "/v1/jobs/$(value "$1" '{id}')?wait=60"
    done
    grep -q '"status":"succeeded"' "$job" && return
    value "$1" '{name} has {status}: {error}' >&2
    return 1
}

# Print parts of an answer, in the format language of Python: `value NAME '{result[train_loss]:.4f}'`.
value() {
    "$PYTHON" -c 'import json, sys; print(sys.argv[1].format(**json.load(sys.stdin)))' "$2" < "$OUT/$1.json"
}

# Keep the losses of a job, one line an epoch, as NAME.csv: `losses NAME`.
losses() {
    ask "$OUT/$1.csv" "/v1/jobs/$(value "$1" '{id}')/history" -H 'Accept: text/csv'
}

# Save pictures of a job, each as NAME-PICTURE.svg: `pictures NAME loss fit …`.
pictures() {
    local name=$1 picture
    shift
    for picture in "$@"; do
        ask "$OUT/$name-$picture.svg" "/v1/jobs/$(value "$name" '{id}')/plots/$picture" -H 'Accept: image/svg+xml'
        echo "saved $OUT/$name-$picture.svg"
    done
}

# Upload a file, keep what the service says of it as NAME.json, and print its id: `upload NAME FILE TYPE [QUERY]`.
upload() {
    ask "$OUT/$1.json" "/v1/datasets?name=$1${4:+&$4}" -H "Content-Type: $3" --data-binary "@$2"
    value "$1" '{id}'
}
