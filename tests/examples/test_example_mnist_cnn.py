"""The example `mnist-cnn`."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.walks import Walk

FILES = {"train-images-idx3-ubyte.gz": 16, "train-labels-idx1-ubyte.gz": 8}
"""MNIST's names, and the length of the header in each."""


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("mnist-cnn")


def test_the_files_have_the_layout_of_mnist(walked: Walk) -> None:
    images, labels = (gzip.decompress((walked.folder / name).read_bytes()) for name in FILES)
    assert images[:16] == bytes.fromhex("00000803 00000705 0000001c 0000001c")
    assert labels[:8] == bytes.fromhex("00000801 00000705")
    assert (len(images), len(labels)) == (16 + 1797 * 28 * 28, 8 + 1797)
    assert (min(images[16:]), max(images[16:])) == (0, 255)


def test_two_uploads_become_one_table(walked: Walk) -> None:
    assert "1797 images [28, 28] of uint8, classes [0.0, 1.0," in walked.text


def test_the_network_reads_digits_it_has_not_seen(walked: Walk) -> None:
    assert walked.number(r"accuracy: .* test ([\d.]+)") > 0.93


def test_the_epoch_of_the_lowest_dev_loss_is_kept(walked: Walk) -> None:
    dev = {epoch: loss for epoch, (_, loss) in walked.table("epoch ").items()}
    assert walked.number(r"after (\d+) epochs") == len(dev) <= 15
    assert walked.number(r"kept is epoch (\d+)") == int(min(dev, key=dev.__getitem__))
    job = json.loads((walked.folder / "cnn.json").read_text("utf-8"))
    assert job["spec"]["training"]["augmentation"] == [{"type": "shift", "pixels": 2}]


def test_the_pictures_are_saved(walked: Walk) -> None:
    assert walked.pictures() == {"cnn-loss", "cnn-confusion", "cnn-weights"}


def test_other_files_are_taken_from_a_folder(walk: Callable[..., Walk], walked: Walk, tmp_path: Path) -> None:
    """Fewer images would do: the same are taken, without their last 1,000, so that it goes fast."""
    for name, header in FILES.items():
        whole = gzip.decompress((walked.folder / name).read_bytes())
        each = (len(whole) - header) // 1797
        kept = whole[:4] + (797).to_bytes(4) + whole[8 : header + 797 * each]
        (tmp_path / name).write_bytes(gzip.compress(kept))
    other = walk("mnist-cnn", MNIST=str(tmp_path))
    assert "797 images [28, 28]" in other.text
    assert not any((other.folder / name).exists() for name in FILES)
