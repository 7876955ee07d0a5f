"""Pictures of jobs, drawn without a browser or a plotting library.

A figure function turns numbers into a `Scene`, a renderer turns the scene into bytes:

    render_svg(loss_figure(epochs, {"train_loss": losses}, title="job_7"))

A new picture is a new file: place `Axes` around two scales, yield marks, return `axes.scene(marks, ...)`.
"""

from service.plots.fit import fit_figure
from service.plots.loss import loss_figure
from service.plots.png import render_png
from service.plots.scene import Scene
from service.plots.svg import render_svg

__all__ = ["Scene", "fit_figure", "loss_figure", "render_png", "render_svg"]
