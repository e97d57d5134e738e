"""Panels with sliders. They wire what the other modules compute and hold no logic of their own.

Every panel looks the same: controls above, picture below, numbers under it, and a reset button.
Taught (used) in notebooks 01 and 04.
"""

import ipywidgets as w

from helpers.viz import to_bytes


def slider(label, value, low, high, step):
    """A slider over numbers that reports while it is dragged."""
    return w.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, continuous_update=True,
        readout_format=".2f", style={"description_width": "120px"}, layout={"width": "420px"},
    )


def choice(label, options, value=None):
    """A drop-down list, starting at ``value`` or the first of ``options``: names, or (name, value)
    pairs.
    """
    start = {} if value is None else {"value": value}
    return w.Dropdown(
        options=options, description=label, **start,
        style={"description_width": "120px"}, layout={"width": "420px"},
    )


def frames(label, options):
    """A slider over a list of (name, value) pairs, starting at the last."""
    return w.SelectionSlider(
        options=options, value=options[-1][1], description=label, continuous_update=True,
        style={"description_width": "120px"}, layout={"width": "420px"},
    )


def panel(render, **controls):
    """A panel: ``render(**values)`` returns (image in [0, 1], line of text) and is shown live.

    ``controls`` maps the names of ``render``'s arguments to ipywidgets. What was rendered last for
    the same values is kept, so that going back is instant.
    """
    picture = w.Image(format="jpeg", layout={"max_width": "100%", "object_fit": "contain"})
    numbers = w.HTML()
    reset = w.Button(description="Reset", layout={"width": "100px"})
    start = {name: control.value for name, control in controls.items()}
    seen = {}

    def update(_change=None):
        values = {name: control.value for name, control in controls.items()}
        key = tuple(values.values())
        if key not in seen:
            if len(seen) > 200:
                seen.clear()
            image, text = render(**values)
            seen[key] = to_bytes(image), f"<div style='font-size:14px'>{text}</div>"
        picture.value, numbers.value = seen[key]

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
    return w.VBox([*controls.values(), reset, picture, numbers])
