"""Models that are installed beside the service, from the package to the prediction."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.exceptions import TrainingFailed
from service.spec import plugins
from service.spec.layers import Shape
from service.spec.plugins import PluginModel
from service.training import networks
from tests.conftest import ROOT, Service

EXAMPLE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the example plugin."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLE, folder / "source")  # Building leaves files beside the source.
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(folder / "site"), str(source)]
    subprocess.run(command, check=True, timeout=100)
    return folder / "site"


def job(**model: object) -> dict[str, Any]:
    return {
        "data": {
            "type": "synthetic",
            "rows": 128,
            "seed": 0,
            "features": {"x": {"distribution": "uniform"}},
            "target": {"name": "y", "expression": "sin(6*x)"},
        },
        "model": {"type": "rbf", **model},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "Adam", "lr": 0.02},
        "training": {"epochs": 400, "seed": 0},
    }


@pytest.fixture
def with_plugin(site: Path, own_service: Callable[..., Service]) -> Service:
    """A service that has the example plugin beside it."""
    return own_service(PYTHONPATH=str(site))


def test_the_service_trains_and_predicts_with_a_plugin(with_plugin: Service) -> None:
    entries = with_plugin.client.get("/v1/capabilities").json()["models"]
    entry = next(one for one in entries if one["name"] == "rbf")
    assert entry["schema"]["properties"]["bumps"]["default"] == 8
    assert entry["schema"]["properties"]["bumps"]["description"] == "How many bumps."

    done = with_plugin.submit(job(bumps=12, width=0.1))
    assert done["status"] == "succeeded", done
    assert done["result"]["train_loss"] < 0.01
    tensors = with_plugin.client.get(f"/v1/jobs/{done['id']}/parameters").json()["tensors"]
    assert tensors["centres"]["shape"] == [12, 1]

    answer = with_plugin.client.post(f"/v1/jobs/{done['id']}/predict", json={"rows": [{"x": 0.25}]})
    assert abs(answer.json()["rows"][0]["y"] - 0.9975) < 0.2


def test_wrong_parameters_of_a_plugin_are_problems_like_any_other(with_plugin: Service) -> None:
    answer = with_plugin.client.post("/v1/jobs", json=job(bumps=0, bump=3))
    assert answer.status_code == 422
    found = {problem["pointer"]: problem for problem in answer.json()["errors"]}
    assert set(found) == {"/model/bumps", "/model/bump"}
    assert "`bumps`" in found["/model/bump"]["hint"]


def test_the_spec_of_a_plugin_is_read_without_torch(site: Path) -> None:
    program = (
        "import sys, service.spec.models as models; from typing import get_args\n"
        "names = [m.__name__ for m in get_args(get_args(models.ModelSpec)[0])]\n"
        "print(names[-1], 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["RBFModel", "False"]
    assert done.stderr == ""


class Folder:
    """Writes distributions, as pip would leave them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, source: str, *, points_at: str = "Model") -> None:
        information = self.root / f"{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[fitd.models]\n{name} = {name}:{points_at}\n")
        (self.root / f"{name}.py").write_text(source)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Folder(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


HEAD = (
    "from typing import ClassVar, Literal\nfrom service.spec.base import SpecModel\n"
    "from service.spec.plugins import PluginModel\n"
)


def source(name: str = "good", *, base: str = "PluginModel", network: str = "somewhere:Network") -> str:
    return (
        f'{HEAD}class Model({base}):\n    network: ClassVar[str] = "{network}"\n    type: Literal["{name}"]\n'
    )


BROKEN = {
    "import_error": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "crash": ("1 / 0", "ZeroDivisionError"),
    "exits": ("raise SystemExit(1)", "SystemExit"),
    "syntax": ("class", "SyntaxError"),
    "no_class": ("Model = 3", "derives from"),
    "wrong_base": (source(base="SpecModel"), "derives from"),
    "clash": (source("linear"), "'linear' is taken"),
    "nameless": (source().replace('Literal["good"]', "str"), "Literal"),
    "two_names": (source().replace('"good"', '"good", "better"'), "Literal"),
    "no_network": (source().replace("network:", "other:"), "network"),
    "bad_network": (source(network="somewhere"), "network"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_left_out_with_a_warning(
    name: str, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    content, reason = BROKEN[name]
    folder.add(name, content)
    folder.add("works", source())
    with caplog.at_level(logging.WARNING):
        found = plugins.installed(taken={"linear"})
    assert [model.__module__ for model in found] == ["works"]
    (record,) = caplog.records
    assert name in record.getMessage()
    assert reason in record.getMessage()


def test_of_two_plugins_with_one_name_the_first_stays(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("aaa", source("same"))
    folder.add("bbb", source("same"))
    found = plugins.installed(taken=set())
    assert [model.__module__ for model in found] == ["aaa"]
    assert "bbb" in caplog.text


NETWORK = """
import torch
class Network(torch.nn.Module):
    def __init__(self, inputs, outputs, **parameters):
        super().__init__()
        self.linear = torch.nn.Linear({inputs}, {outputs})
    def forward(self, rows):
        return {result}
"""


def network_of(
    folder: Folder, *, inputs: str = "inputs[0]", outputs: str = "outputs", result: str
) -> PluginModel:
    name = f"module_{len(list(folder.root.iterdir()))}"
    folder.add(name, source(network=f"{name}_net:Network"))
    (folder.root / f"{name}_net.py").write_text(NETWORK.format(inputs=inputs, outputs=outputs, result=result))
    (model,) = plugins.installed(taken=set())
    adapter: TypeAdapter[PluginModel] = TypeAdapter(model)
    return adapter.validate_json(json.dumps({"type": "good", "output_activation": "Sigmoid"}))


def build(model: PluginModel, inputs: Shape = (3,), **more: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.build(model, inputs=inputs, outputs=2, dtype=torch.float64, **more)


def test_a_plugins_network_starts_from_the_seed_and_may_be_bent(folder: Folder) -> None:
    network = build(network_of(folder, result="self.linear(rows)"))
    torch.manual_seed(0)
    reference = torch.nn.Linear(3, 2).double()
    rows = torch.ones(4, 3, dtype=torch.float64)
    assert torch.equal(network(rows), torch.sigmoid(reference(rows)))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"result": "self.linear(rows)[:, :1]"}, r"gives \[1\] for a row, and \[2\] is needed"),
        ({"result": "self.nothing(rows)"}, "AttributeError"),
        ({"result": "rows.mean(dim=7)"}, "IndexError"),
        ({"inputs": "'three'", "result": "rows"}, "could not be built: TypeError"),
    ],
)
def test_a_network_that_does_not_work_is_the_jobs_error(
    written: dict[str, str], message: str, folder: Folder
) -> None:
    model = network_of(folder, **written)
    with pytest.raises(TrainingFailed, match=message) as caught:
        build(model)
    assert caught.value.code == "plugin_failed"
    assert caught.value.hint


def test_a_network_that_is_too_large_is_refused_once_it_is_built(folder: Folder) -> None:
    model = network_of(folder, result="self.linear(rows)")
    assert model.parameter_count(inputs=(3,), outputs=2) is None
    with pytest.raises(TrainingFailed, match="has 8 parameters; the limit is 7") as caught:
        build(model, max_parameters=7)
    assert caught.value.code == "limit_exceeded"
    build(model, max_parameters=8)
