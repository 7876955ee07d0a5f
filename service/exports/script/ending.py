"""The parts of the script that fetch what is too large to be written out, and compare the fit with the service's."""

from collections.abc import Mapping

import torch

from service.exports.script.python import comment, listed, literal

__all__ = ["Bound", "compare_lines", "fetch_lines", "fit_lines", "is_large"]

MOST_NUMBERS = 1000
"""So many trained numbers are written out; more are fetched."""
SHOWN_NUMBERS = 20
"""Tensors of so many numbers are printed whole."""


class Bound:
    """How near the script must come to the service's parameters.

    Attributes:
        relative: Largest difference as a share of the largest parameter; 0 asks for the same bits.
        reason: Why it is not 0; empty where it is.
    """

    def __init__(self, engine: str | None, device: str | None, dtype: str) -> None:
        """Choose it.

        Args:
            engine: What made the steps of the job.
            device: Where they were made.
            dtype: Number format of the parameters.
        """
        self.relative, self.reason = 0.0, ""
        if (device or "cpu") != "cpu":
            self.relative, self.reason = (
                _LOOSE[dtype],
                f"The service trained on `{device}`, which adds in another order.",
            )
        elif engine == "quadratic":
            self.relative = _TIGHT[dtype]
            self.reason = (
                "The service trained with its engine `quadratic`: all epochs follow by algebra from one small matrix. "
                "It is the same training in exact numbers, but each rounding differs."
            )
        elif engine != "eager":
            self.relative = _LOOSE[dtype]
            self.reason = (
                "The service trained with its engine `dense`: the same steps, but their sums are added in another "
                "order. Each rounding differs, and a network may amplify that from step to step."
            )


_TIGHT = {"float32": 1e-4, "float64": 1e-8}
_LOOSE = {"float32": 1e-2, "float64": 1e-6}


def is_large(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether there are too many trained numbers to write out."""
    return sum(one.numel() for one in tensors.values()) > MOST_NUMBERS


def fetch_lines(url: str) -> list[str]:
    """Write how something is read from a file, or asked of the service."""
    return [
        f'SERVICE = os.environ.get("FITD_URL", {literal(url)})',
        "",
        "",
        'def fetch(path, file=None, media_type="application/json"):',
        '    """Read the file if one is named, else ask the service."""',
        "    if file:",
        '        with open(file, "rb") as opened:',
        "            return opened.read()",
        '    request = urllib.request.Request(SERVICE + path, headers={"Accept": media_type})',
        '    if "FITD_API_KEY" in os.environ:',
        "        # Not sent along when the service redirects: it may lead to another host.",
        '        bearer = "Bearer " + os.environ["FITD_API_KEY"]',
        '        request.add_unredirected_header("Authorization", bearer)',
        "    with urllib.request.urlopen(request) as answer:",
        "        return answer.read()",
        "",
    ]


def fit_lines(tensors: Mapping[str, torch.Tensor], *, path: str) -> list[str]:
    """Write the service's parameters, `fit`: out, or how they are fetched."""
    if is_large(tensors):
        return [
            *comment(
                "The file begins with the length of its header; the header, in JSON, tells where each tensor lies "
                "in what follows."
            ),
            f'data = fetch({literal(path)}, arguments.fit, "application/vnd.safetensors")',
            'length = int.from_bytes(data[:8], "little")',
            "header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]",
            "fit = {}",
            "for name, tensor in model.state_dict().items():",
            '    start, stop = header[name]["data_offsets"]',
            "    numbers = torch.frombuffer(bytearray(tensors[start:stop]), dtype=tensor.dtype)",
            "    fit[name] = numbers.reshape(tensor.shape)",
        ]
    lines = [
        *comment("Written as decimal numbers that stand for exactly one value each: nothing is rounded."),
        "fit = {",
    ]
    for name, tensor in tensors.items():
        lines += _tensor(name, tensor)
    return [*lines, "}"]


def _tensor(name: str, tensor: torch.Tensor) -> list[str]:
    head, tail = f"{literal(name)}: torch.tensor(", f", dtype={tensor.dtype})"
    if tensor.dim() == 0:
        return [f"    {head}{literal(tensor.item())}{tail},"]
    if tensor.dim() <= 2:  # noqa: PLR2004 - a vector, or a matrix row by row
        return listed(f"{head}[", map(literal, tensor.tolist()), f"]{tail},", indent="    ")
    # Of kernels the numbers come one after the other: nested brackets would be longer than they.
    shape = ", ".join(map(str, tensor.shape))
    flat = tensor.flatten().tolist()
    return listed(f"{head}[", map(literal, flat), f"]{tail}.reshape({shape}),", indent="    ")


def compare_lines(bound: Bound) -> list[str]:
    """Write the comparison, and with which code the script ends."""
    lines = ["largest = 0.0"]
    if bound.relative:
        lines = [
            *comment(bound.reason),
            f"bound = {bound.relative!r} * max(1.0, *(tensor.abs().max().item() for tensor in fit.values()))",
            *lines,
        ]
    lines += [
        "for name, tensor in model.state_dict().items():",
        "    differences = (tensor.double() - fit[name].double()).abs()",
        "    # What is no number is as far away as can be.",
        '    difference = differences.nan_to_num(float("inf"), float("inf")).max().item()',
        "    largest = max(largest, difference)",
        '    print(f"\\n{name}: largest difference {difference:g}")',
        f"    if tensor.numel() <= {SHOWN_NUMBERS}:",
        '        print("  here       ", tensor.flatten().tolist())',
        '        print("  the service", fit[name].flatten().tolist())',
    ]
    if not bound.relative:
        return [
            *lines,
            'print(f"\\nThe largest difference of all parameters is {largest:g}: "',
            '      + ("the same bits." if largest == 0 else "NOT the same."))',
            "sys.exit(0 if largest == 0 else 1)",
        ]
    return [
        *lines,
        'print(f"\\nThe largest difference of all parameters is {largest:g}; the bound is {bound:g}.")',
        "sys.exit(0 if largest <= bound else 1)",
    ]
