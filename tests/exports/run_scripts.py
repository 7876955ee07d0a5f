"""Runs several exported scripts in one process, which spares the loading of torch: `python run_scripts.py a.py b.py …`.

Each script is followed by its own arguments, separated by `,`. What each ended with comes as one line of JSON.
"""

import contextlib
import io
import json
import runpy
import sys


def ended(arguments: list[str]) -> dict[str, object]:
    sys.argv = arguments
    said = io.StringIO()
    code: object = "it did not say"
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    return {"code": code, "said": said.getvalue()}


print(json.dumps({one.split(",")[0]: ended(one.split(",")) for one in sys.argv[1:]}))  # noqa: T201
