"""The network itself, in plain torch; imported only where it trains or predicts."""

import torch


class RBF(torch.nn.Module):
    """Gaussian bumps, added up by a linear layer."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, bumps: int, width: float) -> None:
        """Draw the centres, evenly likely between 0 and 1.

        Args:
            inputs: Shape of one row: here the number of features.
            outputs: Numbers to give for a row.
            bumps: How many bumps.
            width: Their width at the start.
        """
        super().__init__()
        self.centres = torch.nn.Parameter(torch.rand(bumps, inputs[-1]))
        self.log_width = torch.nn.Parameter(torch.full((bumps,), width).log())
        self.heights = torch.nn.Linear(bumps, outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Give `heights @ exp(-|row - centre|² / 2 width²)` for each row.

        Args:
            rows: Shape (rows, features).

        Returns:
            Shape (rows, outputs).
        """
        squared = (rows.unsqueeze(1) - self.centres).square().sum(dim=2)
        return self.heights(torch.exp(-0.5 * squared * torch.exp(-2 * self.log_width)))
