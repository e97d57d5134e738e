"""Panels with sliders. They wire what the other modules compute and hold no logic of their own.

Every panel looks the same: controls and a reset button above, the picture below, numbers beside it.
Used in notebooks 00, 01, 04 and 05.
"""

import html

import ipywidgets as w

from helpers.images import ImageError
from helpers.panels.photo import Photo, download_link, uploaded
from helpers.viz import to_bytes

LABEL, CONTROL = {"description_width": "90px"}, {"width": "390px"}
# JupyterLab's own colours and typeface, so that its dark theme stays legible; Colab has neither.
TEXT = ("font:13px/1.5 var(--jp-ui-font-family,sans-serif);"
        "color:var(--jp-content-font-color1,inherit)")


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


def frames(label, options):
    """A slider over a list of (name, value) pairs, starting at the last."""
    return w.SelectionSlider(
        options=options, value=options[-1][1], description=label, continuous_update=True,
        style=LABEL, layout=CONTROL,
    )


def panel(render, **controls):
    """A panel: ``render(**values)`` returns (image in [0, 1], HTML of numbers) and is shown live.

    ``controls`` maps the names of ``render``'s arguments to ipywidgets. What was rendered last for
    the same values is kept, so that going back is instant. A picture has its own size, or the
    width that there is; the room for it never shrinks, so nothing below jumps.
    """
    picture = w.Image(format="jpeg", layout={"max_width": "100%", "margin": "0"})
    room = w.Box([picture], layout={"max_width": "100%", "overflow": "visible"})
    numbers = w.HTML(layout={"flex": "1 0 200px", "margin": "0 0 0 12px", "overflow": "visible"})
    reset = w.Button(description="Reset", layout={"width": "100px", "margin": "2px 2px 2px 94px"})
    start = {name: control.value for name, control in controls.items()}
    seen, tallest = {}, 0

    def update(_change=None):
        nonlocal tallest
        values = {name: control.value for name, control in controls.items()}
        key = tuple(values.values())
        if key not in seen:
            if len(seen) > 200:
                seen.clear()
            image, text = render(**values)
            seen[key] = to_bytes(image), f"<div style='{TEXT}'>{text}</div>", image.shape
        picture.value, numbers.value, shape = seen[key]
        if shape[1] <= 640 and shape[0] > tallest:
            tallest = shape[0]
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


def compare_panel(compare, scene, method):
    """Panel of a :class:`helpers.render.Compare`, starting at a scene and a method. Notebook 04."""
    return panel(
        compare,
        scene=choice("scene", sorted(compare.scenes), scene),
        method=choice("method", list(compare.methods), method),
        strength=slider("strength", 1.0, 0, 1.5, 0.05),
        wipe=slider("wipe", 0.5, 0, 1, 0.01),
        error=slider("error map", 0.0, 0, 1, 0.05),
    )


def time_panel(film):
    """Panel of a :class:`helpers.render.TimeMachine`, starting at the last step. Notebook 04."""
    return panel(
        film,
        scene=choice("scene", film.scenes),
        step=frames("step", [(str(step), step) for step in film.steps]),
    )


def density_panel(hard, scene):
    """Panel of a :class:`helpers.render.HowHard`, starting at β 1. Notebook 04."""
    return panel(
        hard,
        scene=choice("scene", list(hard.scenes), scene),
        beta=slider("β", 1.0, 0, 4, 0.05),
        airlight=slider("airlight", 0.9, 0.4, 1, 0.05),
    )


def photo_panel(generator, paths):
    """Panel for photographs: those of ``paths``, and what the reader uploads. Notebook 00.

    ``generator`` is the improved one, see :class:`helpers.photo.Photo`. A file that cannot be used
    is named in one sentence, and the photograph before it stays.
    """
    photos = {path.stem: Photo(path, path.name, generator) for path in paths}
    upload = w.FileUpload(accept="image/*,.tif,.tiff", multiple=False, layout={"width": "210px"},
                          description="Your photograph")
    save = w.Button(description="Make the file", layout={"width": "210px"})
    said, link = (w.HTML(layout={"min_height": "30px", "margin": "2px 2px 2px 12px"})
                  for _ in range(2))
    photo, strength = choice("photograph", list(photos)), slider("strength", 1.0, 0, 1.5, 0.05)

    def tell(where, text):
        where.value = f"<div style='{TEXT}'>{text}</div>"

    def add(_change):
        file = uploaded(upload.value)
        if file is None:
            return
        tell(said, "The network looks at it …")
        try:
            new = Photo(file[1], file[0], generator)
        except ImageError as error:
            return tell(said, html.escape(str(error)))
        name = new.name if new.name not in photos else f"{new.name} ({len(photos)})"
        photos[name] = new
        photo.options = list(photos)
        photo.value = name
        tell(said, "")

    def make(_button):
        tell(link, "A moment …")
        tell(link, download_link(*photos[photo.value].file(strength.value)))

    upload.observe(add, "value")
    save.on_click(make)
    for control in (photo, strength):  # the link would be that of another picture
        control.observe(lambda _change: tell(link, ""), "value")
    view = panel(
        lambda photo, strength, wipe: photos[photo](strength, wipe),
        photo=photo, strength=strength, wipe=slider("wipe", 0.5, 0, 1, 0.01),
    )
    rows = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
    return w.VBox([w.Box([upload, said], layout=rows), view, w.Box([save, link], layout=rows)])
