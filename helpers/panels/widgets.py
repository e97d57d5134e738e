"""Controls, and the panel that they move: the same look for all.

Controls and a reset button stand above, pictures below, numbers beside them. What a panel shows is
computed by the other modules of this folder. Used in notebooks 00, 02, 07 and 08.
"""

import io
from functools import lru_cache

import ipywidgets as w
from PIL import Image

from helpers.viz import to_bytes

LABEL, CONTROL = {"description_width": "90px"}, {"width": "390px"}
ROW = {"flex_flow": "row wrap", "overflow": "visible"}
# JupyterLab's own colours and typeface, so that its dark theme stays legible; Colab has neither.
TEXT = ("font:13px/1.5 var(--jp-ui-font-family,sans-serif);"
        "color:var(--jp-content-font-color1,inherit)")
# Charts have no background. In dark themes their ink turns bright, and their colours stay.
DARK = ('[data-jp-theme-light="false"]', "html[theme=dark]", ".vscode-dark")
CHART_STYLE = (f"<style>{','.join(f'{theme} .panel-chart' for theme in DARK)}"
               "{filter:invert(1) hue-rotate(180deg)}</style>")


def slider(label, value, low, high, step):
    """A slider over numbers that reports while it is dragged."""
    return w.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, continuous_update=True,
        readout_format=".2f", style=LABEL, layout=CONTROL,
    )


def choice(label, options, value=None):
    """A drop-down list, starting at ``value`` or the first of ``options``: names, or (name, value)
    pairs.
    """
    start = {} if value is None else {"value": value}
    return w.Dropdown(options=options, description=label, **start, style=LABEL, layout=CONTROL)


def steps_slider(label, options):
    """A slider over a list of (name, value) pairs, starting at the last."""
    return w.SelectionSlider(
        options=options, value=options[-1][1], description=label, continuous_update=True,
        style=LABEL, layout=CONTROL,
    )


def chart_bytes(chart):
    """A chart, uint8 (height, width, 4), as PNG; quickly, not small."""
    buffer = io.BytesIO()
    Image.fromarray(chart).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def panel(render, **controls):
    """A panel: what ``render(**values)`` returns, shown live.

    That is (image in [0, 1], HTML of numbers) or (image, HTML, chart), the chart being uint8
    (height, width, 4); see :class:`helpers.panels.drawing.Chart`. ``controls`` maps the names of
    ``render``'s arguments to ipywidgets. What was rendered last for the same values is kept, so
    that going back is instant. A picture has its own size, or the width that there is; the room
    for it never shrinks, so nothing below jumps.
    """
    shown = _Shown()
    start = {name: control.value for name, control in controls.items()}

    @lru_cache(200)
    def rendered(*values):
        image, text, *charts = render(**dict(zip(controls, values, strict=True)))
        height = image.shape[0] + sum(part.shape[0] for part in charts)
        return (to_bytes(image), f"<div style='{TEXT}'>{text}</div>",
                [chart_bytes(part) for part in charts], (height, image.shape[1]))

    def update(_change=None):
        shown.update(*rendered(*(control.value for control in controls.values())))

    def back(_button):
        for name, control in controls.items():  # unobserved: what lies between is not rendered
            control.unobserve(update, "value")
            control.value = start[name]
            control.observe(update, "value")
        update()

    reset = w.Button(description="Reset", layout={"width": "100px", "margin": "2px 2px 2px 94px"})
    reset.on_click(back)
    for control in controls.values():
        control.observe(update, "value")
    update()
    above = w.Box([*controls.values(), reset], layout={**ROW, "max_width": "880px"})
    below = w.Box([shown.room, shown.numbers], layout={**ROW, "align_items": "flex-start"})
    return w.VBox([above, below])


class _Shown:
    """What a panel shows below its controls: a picture, perhaps a chart, and numbers."""

    def __init__(self):
        self.picture, self.chart = (
            w.Image(format=kind, layout={"max_width": "100%", "margin": "0"})
            for kind in ("jpeg", "png"))
        self.chart.add_class("panel-chart")
        self.room = w.VBox([self.picture], layout={
            "max_width": "100%", "overflow": "visible", "align_items": "flex-start"})
        self.numbers = w.HTML(layout={"flex": "1 0 200px", "margin": "0 0 0 12px",
                                      "overflow": "visible"})
        self.tallest = 0

    def update(self, picture, numbers, charts, size):
        self.picture.value, self.numbers.value = picture, numbers
        if charts:
            self.chart.value, = charts
            if len(self.room.children) == 1:
                style = w.HTML(CHART_STYLE, layout={"display": "none"})
                self.room.children = [self.picture, self.chart, style]
        height, width = size
        if width <= 640 and height > self.tallest:
            self.tallest = height
            self.room.layout.min_height = f"{height}px"
