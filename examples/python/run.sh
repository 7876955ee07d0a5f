#!/usr/bin/env bash
# Calibrate a thermometer from Python. It needs the client's packages, pandas and scikit-learn: `make install` has them.
. "$(dirname "$0")/../fitd.sh"

# The client is taken from this clone, whether it is installed or not.
export PYTHONPATH="$HERE/../../sdk/python/src${PYTHONPATH:+:$PYTHONPATH}"
FITD_URL=$URL FITD_OUTPUT=$OUT "$PYTHON" "$HERE/calibrate.py"
