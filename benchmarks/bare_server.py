"""What predictions are measured against: a FastAPI application of one endpoint, as a tutorial would write it.

`python -m benchmarks.bare_server PORT`. It runs on the same server with the same settings as fitd, and does the same
matrix product with torch; it checks no key, knows no models, counts nothing and tells no problems.
"""

import sys
from typing import Any

import orjson
import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

app = FastAPI()
WEIGHT, BIAS = torch.tensor([[5.0]]), torch.tensor([7.0])


class Rows(BaseModel):
    """Values by column."""

    columns: dict[str, list[float]]


def product(columns: dict[str, list[float]]) -> list[float]:
    """Multiply the rows with the weights."""
    with torch.inference_mode():
        rows = torch.tensor([columns["x"]]).T
        found: list[float] = torch.nn.functional.linear(rows, WEIGHT, BIAS)[:, 0].tolist()
    return found


@app.post("/predict")
async def predict(rows: Rows) -> dict[str, Any]:
    """Predict as FastAPI's own documentation would: a model of the body, and a dictionary that becomes JSON."""
    return {"columns": {"y": product(rows.columns)}}


@app.post("/fast")
async def fast(request: Request) -> Response:
    """Predict with as little around it as FastAPI allows: no model of the body, the fastest JSON."""
    columns = orjson.loads(await request.body())["columns"]
    return Response(orjson.dumps({"columns": {"y": product(columns)}}), media_type="application/json")


if __name__ == "__main__":
    torch.set_num_threads(1)
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
