"""Controls, and the panel that they move: the same look for all.

Controls and a reset button stand above, pictures below, numbers beside them. What a panel shows is
computed by the other modules of this folder. Used in notebooks 00, 02, 07 and 08.
"""

import io

import ipywidgets as w
from PIL import Image

from helpers.viz import to_bytes

LABEL, CONTROL = {"description_width": "90px"}, {"width": "390px"}
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
    picture, chart = (w.Image(format=kind, layout={"max_width": "100%", "margin": "0"})
                      for kind in ("jpeg", "png"))
    chart.add_class("panel-chart")
    room = w.VBox([picture], layout={"max_width": "100%", "overflow": "visible",
                                     "align_items": "flex-start"})
    numbers = w.HTML(layout={"flex": "1 0 200px", "margin": "0 0 0 12px", "overflow": "visible"})
    reset = w.Button(description="Reset", layout={"width": "100px", "margin": "2px 2px 2px 94px"})
    start = {name: control.value for name, control in controls.items()}
    seen, tallest = {}, 0

    def rendered(values):
        image, text, *charts = render(**values)
        height = image.shape[0] + sum(part.shape[0] for part in charts)
        return (to_bytes(image), f"<div style='{TEXT}'>{text}</div>",
                [chart_bytes(part) for part in charts], (height, image.shape[1]))

    def update(_change=None):
        nonlocal tallest
        values = {name: control.value for name, control in controls.items()}
        key = tuple(values.values())
        if key not in seen:
            if len(seen) > 200:
                seen.clear()
            seen[key] = rendered(values)
        picture.value, numbers.value, charts, (height, width) = seen[key]
        if charts:
            chart.value, = charts
            if len(room.children) == 1:
                room.children = [picture, chart, w.HTML(CHART_STYLE, layout={"display": "none"})]
        if width <= 640 and height > tallest:
            tallest = height
            room.layout.min_height = f"{tallest}px"

    def back(_button):
        for name, control in controls.items():  # unobserved: what lies between is not rendered
            control.unobserve(update, "value")
            control.value = start[name]
            control.observe(update, "value")
        update()

    reset.on_click(back)
    for control in controls.values():
        control.observe(update, "value")
    update()
    rows = {"flex_flow": "row wrap", "overflow": "visible"}
    return w.VBox([
        w.Box([*controls.values(), reset], layout={**rows, "max_width": "880px"}),
        w.Box([room, numbers], layout={**rows, "align_items": "flex-start"}),
    ])
