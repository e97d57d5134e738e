"""Image files: loading any photograph, and saving what was made of it.

Images are float32 RGB in [0, 1], shape (height, width, 3). Taught in notebook 02.
"""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from helpers.env import Told

# What is read, by the usual endings; the content decides, whatever the name says. Others of
# Pillow's decoders are old or start programs.
SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG",
            ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF",
            ".bmp": "BMP", ".gif": "GIF"}
FORMATS = sorted(set(SUFFIXES.values()))
SAVING = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95},
          "AVIF": {"quality": 90}, "PNG": {}, "TIFF": {}}  # anything else becomes PNG
HEIC = ("HEIC, which is not read; save it as JPEG (an iPhone does so if its camera is set to "
        '"Most Compatible"), or convert it.')
NOT_READ = {
    **dict.fromkeys((".heic", ".heif", ".hif"), HEIC),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".jxl",
                     ".jp2", ".psd", ".svg", ".tga", ".ppm", ".exr", ".hdr"),
                    "a kind of picture that is not read; save it as JPEG or PNG."),
}
# With these a float32 copy and the decoder's own stay below 1 GB; WebP's needs 24 bytes a pixel.
MOST_PIXELS = {"WEBP": 35_000_000, "AVIF": 35_000_000, "other": 52_000_000}
CAMERA = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright")


class ImageError(Told, ValueError):
    """A file is not a usable image; the message names the file and the remedy."""


def why_not(path):
    """Why a picture in a folder is passed over; None if it is read, or is no picture.

    Judged by its name, and by its content only if the name says nothing. The sentence does not
    repeat the path. Notebook 02.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in NOT_READ:
        return NOT_READ.get(suffix) if path.exists() else "no such file; check the path."
    if path.is_file():
        with contextlib.suppress(Exception), Image.open(path, formats=FORMATS):
            return "a picture, but its name does not say so; add .jpg or .png to it."
    return None


def open_image(source, name=None, within=None):
    """Open an image file with Pillow, fully decoded and upright (its EXIF orientation applied).

    ``source`` is a path or the bytes of a file; messages call it ``name``. Of an
    animation, and of several pictures in one file, it is the first. ``within``, (long side, short
    side) in pixels, shrinks what is larger; ``info["size"]`` of the result is the upright size
    before that. Raises :class:`ImageError` for a file that is missing, no image, damaged, larger
    than :data:`MOST_PIXELS`, or that does not tell which value is white. Notebooks 00 and 02.
    """
    held = isinstance(source, bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that Pillow does not know, for one
            if held or Path(source).is_file():
                return _decode(io.BytesIO(source) if held else source, within)
        problem = "no such file; check the path."
    except ImageError as error:
        problem = error
    except Image.UnidentifiedImageError:
        problem = ("not an image, whatever its name says; remove it or save it again as PNG or "
                   "JPEG.")
        if _is_heic(source):
            problem = HEIC
    except Image.DecompressionBombError:
        problem = "too many pixels; make it smaller first."
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        problem = f"damaged ({reason}); get a new copy or remove it."
        if getattr(error, "errno", None):  # the system's own
            problem = f"cannot be read ({error.strerror}); check its name and its rights."
    name = name or ("the image" if held else source)
    raise ImageError(f"{name}: {problem}")


def _decode(source, within):
    image = Image.open(source, formats=FORMATS)
    whole, box = image.size, None
    if within:  # a JPEG can be decoded at a half, a quarter or an eighth of its size, much faster
        box = (image.draft(None, shrunk_size(image.size, within)) or (None, None))[1]
    most = MOST_PIXELS.get(image.format, MOST_PIXELS["other"])
    if image.width * image.height > most:
        raise ImageError(f"more than {most / 1e6:.0f} megapixels; make it smaller first.")
    deep = ";16" in str(image.tile)
    image.load()
    whole = whole if box else image.size  # of a TIFF only now
    if image.mode.startswith(("I", "F")):
        image.info["white"] = _white(image)
    elif deep and max(high for _, high in image.getextrema()[:3]) < 64:  # Pillow drops the rest
        raise ImageError("16 bits a colour, of which the upper ones are empty; save it with 8.")
    to_rgb(image.crop((0, 0, 1, 1)))  # raises for what Pillow opens and cannot convert
    if within and image.size != (size := shrunk_size(whole, within)):
        image = _plain(image).resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3)
    turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    image.info["size"] = whole[::-1] if turned else whole
    ImageOps.exif_transpose(image, in_place=True)  # a copy would lose a TIFF's EXIF
    return image


def _white(image):
    """The value that is white in an image of one channel with more than 8 bits."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    levels = [1, 255] if image.mode == "F" else [2**bits - 1 for bits in (1, 8, 10, 12, 14, 16)]
    if image.format == "PNG":  # 65535 is white by its rules, but so little may be 12 bits
        levels = [65535] * (high == 0 or high >= 4096)
    white = next((level for level in levels if high <= 1.01 * level), None)
    unclear = white is None or low < -0.01 or (image.mode == "F" and 1.01 < high < 32)
    if unclear or getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0:
        raise ImageError(f"values from {low:g} to {high:g} that do not tell which one is white; "
                         "save it with 8 bits or all 16, or as floats from 0 to 1.")
    return white


def _is_heic(source):
    """True if a file begins as those of HEIC do, which is not read."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        head = file.read(32)
    brands = head[8:] if head[4:8] == b"ftyp" and b"avif" not in head else b""
    return any(brand in brands for brand in (b"hei", b"hev", b"mif1"))


def shrunk_size(size, within):
    """(width, height) of an image of ``size`` shrunk, if need be, to (long side, short side)."""
    scale = min(1, within[0] / max(size), within[1] / min(size))
    return tuple(max(1, round(side * scale)) for side in size)


def shrink(image, within):
    """A Pillow image, made to fit ``within`` (long side, short side) by Lanczos' filter."""
    size = shrunk_size(image.size, within)
    if image.size == size:
        return image
    return _plain(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def _plain(image):
    """The image in a mode of 8 or 32 bits a channel, without palette, that can be resampled."""
    if image.mode.startswith(("I", "F")):
        return image if image.mode in ("I", "F") else image.convert("I")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def to_rgb(image):
    """Pillow image of any mode to float32 RGB in [0, 1], shape (height, width, 3).

    Grey is repeated to RGB, what is transparent is laid on white. Grey of more than 8 bits is
    divided by the white that :func:`open_image` found.
    """
    out = np.empty((image.height, image.width, 3), "float32")
    white = image.info.get("white", 65535)
    for top in range(0, image.height, 256):  # in strips, for the memory of large ones
        strip = image.crop((0, top, image.width, min(top + 256, image.height)))
        if image.mode.startswith(("I", "F")):
            grey = np.asarray(_plain(strip), "float32")[..., None] / white
            out[top:top + 256] = np.clip(grey, 0, 1)
        else:
            np.divide(to_pixels(strip), np.float32(255), out=out[top:top + 256])
    return out


def to_pixels(image):
    """Pillow image of any mode to uint8 RGB, (height, width, 3), as :func:`to_rgb` makes it."""
    if image.mode.startswith(("I", "F")):
        return to_uint8(to_rgb(image))
    image = _plain(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(image)


def to_uint8(image):
    """Floats in [0, 1], (height, width) or more, as uint8; what lies outside is clipped."""
    out = np.empty(np.shape(image), "uint8")
    for top in range(0, len(out), 256):  # in strips, for the memory of large ones
        levels = np.clip(image[top:top + 256], 0, 1) * np.float32(255)
        out[top:top + 256] = np.rint(levels, out=levels)
    return out


def result_suffix(name):
    """The suffix of a result file: that of the photograph, or .png if its format is not written."""
    suffix = Path(name).suffix
    return suffix if SUFFIXES.get(suffix.lower()) in SAVING else ".png"


def central(image, size=256):
    """The central square of an image, at most ``size`` pixels a side."""
    top, left = (max(0, (n - size) // 2) for n in image.shape[:2])
    return image[top:top + size, left:left + size]


def is_grey(image):
    """True if a Pillow image has no colours, whatever its mode."""
    if image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F")):
        return True
    pixels = to_pixels(image)
    return bool((pixels == pixels[..., :1]).all())


def mean_colour(image):
    """The mean of the three channels of an RGB image: float32 (height, width)."""
    return image @ np.full(3, 1 / 3, "float32")  # a hundred times as fast as mean(axis=-1)


def encode(result, original, suffix):
    """The bytes of an image file: RGB in [0, 1] with what ``original`` had besides its colours.

    ``original`` is what :func:`open_image` gave and ``result``, (height, width, 3), was made from
    it. ``suffix`` is that of the new file: JPEG, WebP, AVIF or TIFF for theirs, else PNG; 8 bits a
    channel. Grey stays grey. Kept are transparency (not in a JPEG), the colour profile, and what
    EXIF says of camera, author, time and place. Raises ValueError when the sizes differ.
    Notebook 00.
    """
    if result.shape != (original.height, original.width, 3):
        raise ValueError(f"{result.shape} was not made from an image of {original.size} pixels.")
    kind = SUFFIXES[result_suffix(f"result{suffix}").lower()]
    grey = is_grey(original)
    image = Image.fromarray(to_uint8(mean_colour(result) if grey else result))
    if grey and original.mode in ("RGB", "RGBA", "CMYK"):
        image = image.convert("RGB")
    if original.has_transparency_data and kind != "JPEG" and original.mode[0] not in "IF":
        image.putalpha(original.convert("RGBA").getchannel("A"))
    options = dict(SAVING[kind])
    profile = original.info.get("icc_profile") or b""
    if profile[16:20] == (b"GRAY" if image.mode.startswith("L") else b"RGB "):
        options["icc_profile"] = profile  # one of CMYK does not fit any more
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, exif=_camera_data(original), **options)
    except Exception:  # EXIF that is damaged, or longer than a JPEG holds: rather none
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def _camera_data(image):
    """EXIF of an image turned upright, as bytes: of camera, author, time and place."""
    exif, kept = image.getexif(), Image.Exif()  # the rest is the old file's layout
    kept.update({tag: exif[tag] for tag in map(ExifTags.Base.__getitem__, CAMERA) if tag in exif})
    for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := exif.get_ifd(part):
            kept[part] = dict(entries)
    return kept.tobytes() if kept else b""


def load_image(path):
    """Read an image file: float32 RGB in [0, 1], shape (height, width, 3), upright.

    Raises :class:`ImageError` as :func:`open_image` does. Notebook 02.
    """
    return to_rgb(open_image(path))


def load_depth(path, farthest=5.0):
    """Read a depth map of ``sample_data``: float32 (height, width), 0 to ``farthest``.

    The file is a 16-bit greyscale PNG. The unit is the distance at which haze of beta 1 takes
    63 % of the light. Raises :class:`ImageError` as :func:`open_image` does, and for another
    kind of image. Notebook 02.
    """
    image = open_image(path)
    if not image.mode.startswith("I"):
        raise ImageError(f"{path}: not a depth map; save it as a 16-bit greyscale PNG.")
    return np.asarray(image, "float32") / 65535 * farthest
