"""Pictures of jobs, drawn without a browser or a plotting library.

A figure function turns numbers into a `Scene`, a renderer turns the scene into bytes:

    render_svg(loss_figure(epochs, {"train_loss": losses}, title="job_7"))

A new picture is a new file: place `Axes` around two scales, yield marks, return `axes.scene(marks, ...)`.
"""

from service.plots.boundary import GRID_COLUMNS, GRID_ROWS, boundary_figure, grid_axis
from service.plots.confusion import MOST_CLASSES, confusion_figure
from service.plots.fit import fit_figure
from service.plots.groups import Parts
from service.plots.histogram import residual_histogram_figure
from service.plots.learning_rate import learning_rate_figure
from service.plots.loss import Run, loss_figure
from service.plots.parallel import Dimension, parallel_figure
from service.plots.png import render_png
from service.plots.predicted import predicted_figure
from service.plots.residuals import residuals_figure
from service.plots.scene import Scene
from service.plots.search import search_figure
from service.plots.svg import render_svg
from service.plots.weights import weights_figure

__all__ = [
    "GRID_COLUMNS",
    "GRID_ROWS",
    "MOST_CLASSES",
    "Dimension",
    "Parts",
    "Run",
    "Scene",
    "boundary_figure",
    "confusion_figure",
    "fit_figure",
    "grid_axis",
    "learning_rate_figure",
    "loss_figure",
    "parallel_figure",
    "predicted_figure",
    "render_png",
    "render_svg",
    "residual_histogram_figure",
    "residuals_figure",
    "search_figure",
    "weights_figure",
]
