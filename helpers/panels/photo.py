"""A photograph of the reader's own: the panel of notebook 00, and the file that it makes."""

import base64
import html
import os
from pathlib import Path

import ipywidgets as w
import numpy as np
from PIL import Image

from helpers.images import (
    SUFFIXES,
    ImageError,
    is_grey,
    mean_colour,
    open_image,
    result_suffix,
    to_rgb,
)
from helpers.inference import dehaze_file, haze_maps, map_changes
from helpers.panels.drawing import numbers, resize_to, tagged, wiped
from helpers.panels.widgets import TEXT, choice, panel, slider

WIDTH, HEIGHT = 640, 480  # of what is shown; the file has the photograph's own size
ROW = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
HINT = ("An upload of more than 10 MB gets lost unless <code>make lab</code> started JupyterLab: "
        "type the file's path instead.")


class Photo:
    """A photograph and what the improved generator saw in it.

    ``source`` is a path or the bytes of an image file, ``name`` the file's name. The network looks
    once, here; what it would change is then added to a small copy at every move of a slider.
    Raises :class:`helpers.images.ImageError` when it is no usable image. Notebook 00.
    """

    def __init__(self, source, name, generator):
        self.source, self.name, self.generator = source, Path(name).name, generator
        original = open_image(source, name)
        image = to_rgb(original)
        self.size, self.format = original.size, original.format
        self.small = resize_to(image, WIDTH, HEIGHT)
        changes = [change for _, change in map_changes(self.small, haze_maps(generator, image))]
        self.change = np.concatenate(changes)  # for a strength of 1
        if is_grey(original):
            self.change = mean_colour(self.change)[..., None]

    def __call__(self, strength=1.0, wipe=0.5):
        """(picture, HTML of numbers): hazy on the left of ``wipe``, a part of the width."""
        after = np.clip(self.small + strength * self.change, 0, 1)
        picture = tagged(wiped(self.small, after, wipe), "hazy" if wipe > 0.2 else "",
                         "dehazed" if wipe < 0.8 else "")
        width, height = self.size
        rows = [("width", f"{width} pixels"), ("height", f"{height} pixels"),
                ("format", self.format)]
        return picture, numbers(rows, (), (self.name,))

    def file(self, strength=1.0):
        """(name, MIME type, bytes) of the dehazed file, of the photograph's own size.

        The same as the folder command's, see :func:`helpers.inference.dehaze_file`.
        """
        suffix = result_suffix(self.name)
        mime = Image.MIME[SUFFIXES[suffix.lower()]]
        content = dehaze_file(self.generator, self.source, suffix, strength, self.name)
        return f"{Path(self.name).stem}_dehazed{suffix}", mime, content


def uploaded(value):
    """(name, bytes) of the newest file in the ``value`` of an ipywidgets FileUpload, or None.

    In ipywidgets 8 that is a tuple of dictionaries, in 7, which Colab has, a dictionary of them.
    """
    if not value:
        return None
    if isinstance(value, dict):
        name, entry = list(value.items())[-1]
        return name, bytes(entry["content"])
    return value[-1]["name"], bytes(value[-1]["content"])


def download_link(name, mime, content):
    """HTML of a link that saves ``content`` (bytes) under ``name``; needs no kernel and no server.

    The browser makes a file of the data before it saves it: some refuse long addresses.
    """
    data = base64.b64encode(content).decode()
    click = ("if(this.href.startsWith('data:')){"
             "const b=Uint8Array.from(atob(this.href.split(',')[1]),c=>c.charCodeAt(0));"
             "this.href=window.URL.createObjectURL(new Blob([b],{type:this.type}))}")
    name = html.escape(name, quote=True)
    look = "color:inherit;text-decoration:underline"  # JupyterLab's own blue is faint in the dark
    return (f'<a download="{name}" type="{mime}" style="{look}" onclick="{click}" '
            f'href="data:{mime};base64,{data}">Save {name}</a> ({len(content) / 1e6:.1f} MB)')


def file_chooser(take):
    """A row to choose a file: ``take(source, name)`` is given an upload's bytes, or a path."""
    upload = w.FileUpload(accept="image/*,.tif,.tiff,.jfif,.avif", multiple=False,
                          description="Your photograph", layout={"width": "210px"})
    path = w.Text(placeholder="or the path of a file", continuous_update=False,
                  layout={"width": "390px", "margin": "2px 2px 2px 12px"})

    def take_upload(_change):
        if file := uploaded(upload.value):
            take(file[1], file[0])

    def take_path(_change):
        if text := path.value.strip().strip("\"'"):  # Windows copies a path with its quotes
            take(os.path.expanduser(text), text)

    upload.observe(take_upload, "value")
    path.observe(take_path, "value")
    return w.Box([upload, path], layout=ROW)


def tell(where, text):
    """Show ``text``, which is HTML, in a widget, in the typeface of the numbers."""
    where.value = f"<div style='{TEXT}'>{text}</div>"


def photo_panel(generator, paths):
    """Panel for photographs: those of ``paths``, and what the reader uploads or names.

    ``generator`` is the improved one, see :class:`Photo`. A file that cannot be used is named in
    one sentence, and the photograph before it stays. That an upload was too long for the server
    is something the kernel never hears of; so the panel says it beforehand. Notebook 00.
    """
    photos = {path.stem: Photo(path, path.name, generator) for path in paths}
    photo, strength = choice("photograph", list(photos)), slider("strength", 1.0, 0, 1.5, 0.05)
    save = w.Button(description="Make the file", layout={"width": "210px"})
    said, link = (w.HTML(layout={"min_height": "30px", "margin": "2px 2px 2px 12px"})
                  for _ in range(2))

    def add(source, name):
        tell(said, "The network looks at it …")
        try:
            new = Photo(source, name, generator)
        except ImageError as error:
            return tell(said, html.escape(str(error)))
        name = new.name if new.name not in photos else f"{new.name} ({len(photos)})"
        photos[name] = new
        photo.options = list(photos)
        photo.value = name
        tell(said, HINT)

    def make(_button):
        tell(link, "A moment …")
        try:
            tell(link, download_link(*photos[photo.value].file(strength.value)))
        except ImageError as error:  # a path whose file has gone
            tell(link, html.escape(str(error)))

    tell(said, HINT)
    save.on_click(make)
    for control in (photo, strength):  # the link would be that of another picture
        control.observe(lambda _change: tell(link, ""), "value")
    view = panel(lambda photo, strength, wipe: photos[photo](strength, wipe),
                 photo=photo, strength=strength, wipe=slider("wipe", 0.5, 0, 1, 0.01))
    return w.VBox([file_chooser(add), said, view, w.Box([save, link], layout=ROW)])
