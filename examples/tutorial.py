"""The tutorial's walk: start the service, submit the job, watch the loss, print the fit, save the pictures.

Only the standard library and plain HTTP: what this does, curl or any other client can do.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUTPUT = Path("tutorial-output")
TRUTH = {"w": 5.0, "b": 7.0}


def main() -> int:
    """Run the walk, then leave the service up until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="8000")
    parser.add_argument("--data-dir", default="fitd-data")
    parser.add_argument("--stop", action="store_true", help="stop the service at the end of the walk")
    options = parser.parse_args()
    url = f"http://{options.host}:{options.port}"
    with _service(options) as service:
        _wait_until_ready(url, service)
        _walk(url)
        if not options.stop:
            print(f"\nThe service is up at {url} (docs at {url}/docs). Ctrl-C ends it.", flush=True)
            service.wait()
    return service.returncode or 0


@contextlib.contextmanager
def _service(options: argparse.Namespace) -> Iterator[subprocess.Popen[bytes]]:
    """Run `fitd serve` beside this script, and end it with the block."""
    place = ["--host", options.host, "--port", options.port, "--data-dir", options.data_dir]
    # A session of its own: Ctrl-C reaches this script alone, which passes it on. However this script ends,
    # its end of the pipe closes, and the service ends too.
    command = [sys.executable, "-m", "service", "serve", *place, "--supervised"]
    service = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    try:
        yield service
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    finally:
        service.send_signal(signal.SIGINT)
        service.wait(10)


def _wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    print("waiting for a warm worker …", flush=True)
    while service.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), _open(f"{url}/readyz"):
            return
        time.sleep(0.1)
    raise SystemExit("the service did not start: its own message is above")


def _walk(url: str) -> None:
    started = time.perf_counter()
    spec = (HERE / "tutorial.json").read_bytes()
    with _open(f"{url}/v1/jobs", spec, {"Content-Type": "application/json"}) as answer:
        job = json.load(answer)
    print(f"\nPOST /v1/jobs → {answer.status} {answer.headers['Location']}")
    print(f"\n{'epoch':>6}  train_loss")
    _follow(f"{url}/v1/jobs/{job['id']}/events")
    with _open(f"{url}/v1/jobs/{job['id']}") as answer:
        job = json.load(answer)
    seconds = time.perf_counter() - started
    if job["status"] != "succeeded":
        raise SystemExit(f"the job ended {job['status']}: {job['error']}")
    _print_fit(job, seconds)
    _save_pictures(url, job["id"])


def _follow(events: str) -> None:
    """Print the loss of each 100th epoch as it arrives; the stream ends with the job."""
    with _open(events) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                event = json.loads(line[len(b"data: ") :])
                if event["type"] == "history":
                    _print_losses(event["columns"])


def _print_losses(columns: dict[str, list[Any]]) -> None:
    for epoch, loss in zip(columns["epoch"], columns["train_loss"], strict=True):
        if epoch % 100 == 0:
            print(f"{epoch:>6}  {loss:.6f}", flush=True)


def _print_fit(job: dict[str, Any], seconds: float) -> None:
    fit = {"w": job["result"]["coefficients"]["x"], "b": job["result"]["intercept"]}
    print()
    for name, value in fit.items():
        print(f"{name} = {value:.6f}   {TRUTH[name]:g} - {name} = {TRUTH[name] - value:+.6f}")
    print(f"loss = {job['result']['train_loss']:.6f}   (the noise alone: {0.25**2:.6f})")
    print(f"{job['progress']['epochs']} epochs, {seconds:.2f} s from POST to result")


def _save_pictures(url: str, job_id: str) -> None:
    OUTPUT.mkdir(exist_ok=True)
    for plot in ("loss", "fit"):
        for suffix, media in (("svg", "image/svg+xml"), ("png", "image/png")):
            path = OUTPUT / f"{plot}.{suffix}"
            with _open(f"{url}/v1/jobs/{job_id}/plots/{plot}", headers={"Accept": media}) as answer:
                path.write_bytes(answer.read())
            print(f"saved {path}")


def _open(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - urllib's own answer
    return urllib.request.urlopen(urllib.request.Request(url, data, headers or {}))  # noqa: S310 - our own service


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
