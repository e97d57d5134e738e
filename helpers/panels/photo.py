"""A photograph of the reader's own: what the panel of notebook 00 shows, and the file it makes.

Pure functions and one class, without widgets. Taught (used) in notebook 00.
"""

import base64
import html
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.images import FORMATS, encode, open_image, to_rgb
from helpers.inference import apply_maps, haze_maps, map_changes
from helpers.panels.drawing import cut, fit, numbers, tagged

WIDTH, HEIGHT = 640, 480  # of what is shown; the file has the photograph's own size


class Photo:
    """A photograph and what the improved generator saw in it.

    ``content`` is a path or the bytes of an image file, ``name`` the file's name. The network looks
    once, here; what it would change is then added to a small copy at every move of a slider, and to
    all pixels for the file. Raises :class:`helpers.images.ImageError` when it is no usable image.
    Notebook 00.
    """

    def __init__(self, content, name, generator):
        self.name = Path(name).name
        self.original = open_image(content, self.name)
        self.image = to_rgb(self.original)
        grey = {"1", "L", "LA", "I", "F"}
        self.grey = self.original.mode in grey or self.original.mode.startswith("I;")
        self.maps = haze_maps(generator, self.image)
        self.small = fit(self.image, WIDTH, HEIGHT)
        changes = [change for _, change in map_changes(self.small, self.maps)]
        self.change = np.concatenate(changes)  # of the small copy, for a strength of 1

    def dehazed(self, strength=1.0):
        """RGB in [0, 1] at a strength of 0 to 1.5, all pixels; a grey photograph stays grey."""
        return self._in_kind(apply_maps(self.image, self.maps, strength))

    def _in_kind(self, image):
        return np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1) if self.grey else image

    def __call__(self, strength=1.0, wipe=0.5):
        """(picture, HTML of numbers): hazy on the left of ``wipe``, a part of the width."""
        after = self._in_kind(np.clip(self.small + strength * self.change, 0, 1))
        picture = tagged(cut(self.small, after, wipe), "hazy" if wipe > 0.2 else "",
                         "dehazed" if wipe < 0.8 else "")
        rows = [("width", f"{self.original.width} pixels"),
                ("height", f"{self.original.height} pixels"), ("format", self.original.format)]
        return picture, numbers(rows, (), (self.name,))

    def file(self, strength=1.0):
        """(name, MIME type, bytes) of the dehazed file, of the photograph's own size and format.

        Upright, with its colour profile and what EXIF says of the photograph; a format that is not
        written becomes PNG.
        """
        wanted = next((s for s, kind in FORMATS.items() if kind == self.original.format), ".png")
        suffix = Path(self.name).suffix
        if FORMATS.get(suffix.lower()) != FORMATS[wanted]:
            suffix = wanted
        content = encode(self.dehazed(strength), self.original, suffix)
        mime = Image.MIME[FORMATS[suffix.lower()]]
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
