"""Image files: loading any photograph, and saving what was made of it.

Images are float32 RGB in [0, 1], shape (height, width, 3). Taught in notebook 01.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF",
           ".tiff": "TIFF"}
SAVING = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "PNG": {},
          "TIFF": {}}  # not compressed: Pillow could not put EXIF beside it
# What is read, whatever the name says: others of Pillow's decoders are old or start programs.
READ = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MOST_PIXELS = 52_000_000  # a float32 copy and the decoder's own then stay below 1 GB
MOST_PIXELS_WEBP = 35_000_000  # whose decoder needs 24 bytes a pixel
# What EXIF says of the photograph: title, camera, resolution, software, date, author, rating,
# copyright, Windows' own. The rest of its first directory is the layout of the old file.
EXIF_KEPT = {269, 270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432,
             *range(40091, 40096)}


class ImageError(ValueError):
    """A file is not a usable image; the message names the file and the remedy."""


def open_image(source, name=None, frame=None):
    """Open an image file with Pillow, fully decoded and upright (its EXIF orientation applied).

    ``source`` is a path, the bytes of a file, or a file object; messages call it ``name``. Of an
    animation it is the first picture. ``frame``, (long side, short side) in pixels, shrinks what
    does not fit into it. Raises :class:`ImageError` when the file is missing, is no image, is
    damaged, or still has more than :data:`MOST_PIXELS`. Notebooks 00 and 01.
    """
    return _read(source, name, lambda source: _decode(source, frame))


def image_size(path):
    """(width, height) of an image file when upright; reads its header only.

    Raises :class:`ImageError` as :func:`open_image` does. Notebook 01.
    """
    return _read(path, None, _upright_size)


def _read(source, name, action):
    """``action(source)``, where whatever goes wrong is an :class:`ImageError`."""
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    if not hasattr(source, "read"):
        source = Path(source)
        name = name or source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that Pillow does not know, for one
            if isinstance(source, Path) and not source.is_file():
                problem = "no such file; check the path."
            else:
                return action(source)
    except Image.UnidentifiedImageError:
        problem = "not an image, whatever its name says; remove it or save it again as PNG or JPEG."
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        problem = (f"more than {MOST_PIXELS / 1e6:.0f} megapixels (WebP: "
                   f"{MOST_PIXELS_WEBP / 1e6:.0f}); make it smaller first.")
    except PermissionError:
        problem = "cannot be read; check its rights."
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        problem = f"damaged ({reason[:200]}); get a new copy or remove it."
    raise ImageError(f"{name or 'the image'}: {problem}")


def _decode(source, frame):
    image = Image.open(source, formats=READ)
    box = None
    if frame:  # a JPEG can be decoded at a half, a quarter or an eighth of its size, much faster
        target = fit(image.size, frame)
        box = (image.draft(None, target) or (None, None))[1]
    most = MOST_PIXELS_WEBP if image.format == "WEBP" else MOST_PIXELS
    if image.width * image.height > most:
        raise Image.DecompressionBombError
    image.load()
    if frame:
        image = shrink(image, target, box)
    ImageOps.exif_transpose(image, in_place=True)  # a copy would lose a TIFF's EXIF
    return image


def _upright_size(source):
    with Image.open(source, formats=READ) as image:
        if image.format == "PNG" and not {"exif", "xmp"} & set(image.info):
            return image.size  # Pillow would decode it all to look for EXIF behind the pixels
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        size = image.size
        if image.format == "TIFF":  # whose size is turned already by some versions of Pillow
            size = image.tag_v2[256], image.tag_v2[257]
        return size[::-1] if turned else size


def shrink(image, size, box=None):
    """A Pillow image at another ``size`` (width, height), resampled by Lanczos' filter."""
    if image.size == size:
        return image
    return _plain(image).resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3)


def fit(size, frame):
    """(width, height) of an image of ``size`` shrunk, if need be, into (long side, short side)."""
    scale = min(1, frame[0] / max(size), frame[1] / min(size))
    return tuple(max(1, round(side * scale)) for side in size)


def _plain(image):
    """The image in a mode of 8 or 32 bits a channel, without palette, that can be resampled."""
    if image.mode.startswith(("I", "F")):
        return image if image.mode in ("I", "F") else image.convert("I")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def to_rgb(image, rows=256):
    """Pillow image of any mode to float32 RGB in [0, 1], shape (height, width, 3).

    16-bit greyscale is scaled by 65535, grey is repeated to RGB, and what is transparent is laid
    over white. Works in strips of ``rows``, for the memory of large images.
    """
    out = np.empty((image.height, image.width, 3), "float32")
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        strip = _plain(image.crop(box))
        if strip.mode in ("I", "F"):
            values = np.asarray(strip, "float32") / (65535 if strip.mode == "I" else 1)
            out[top:top + rows] = np.clip(np.nan_to_num(values), 0, 1)[..., None]
            continue
        if strip.mode == "RGBA":
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        np.divide(np.asarray(strip.convert("RGB")), np.float32(255), out=out[top:top + rows])
    return out


def to_uint8(image):
    """Pillow image of any mode to uint8 RGB, (height, width, 3), as :func:`to_rgb` makes it."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return np.asarray(image)
    return np.round(to_rgb(image) * 255).astype("uint8")


def encode(result, original, suffix):
    """The bytes of an image file: RGB in [0, 1] with what ``original`` had besides its colours.

    ``original`` is what :func:`open_image` gave and ``result``, (height, width, 3), was made from
    it. ``suffix`` is that of the new file: JPEG, WebP or TIFF for theirs, else PNG; 8 bits a
    channel. Kept are EXIF without orientation and preview, an RGB colour profile, and, but for
    JPEG, transparency, with colours that laid over white give ``result``. Raises ValueError when
    the sizes differ. Notebook 00.
    """
    if result.shape != (original.height, original.width, 3):
        raise ValueError(f"{result.shape} was not made from an image of {original.size} pixels.")
    kind = FORMATS.get(suffix.lower(), "PNG")
    opaque = kind == "JPEG" or original.mode.startswith(("I", "F"))
    alpha = None
    if original.has_transparency_data and not opaque:
        alpha = np.asarray(original.convert("RGBA").getchannel("A"))
    options = {"exif": _photograph_exif(original), **SAVING[kind]}
    profile = original.info.get("icc_profile") or b""
    if profile[16:20] == b"RGB ":  # one of grey or CMYK does not fit any more
        options["icc_profile"] = profile
    buffer = io.BytesIO()
    Image.fromarray(_with_alpha(result, alpha)).save(buffer, kind, **options)
    return buffer.getvalue()


def _with_alpha(image, alpha=None, rows=256):
    """RGB in [0, 1] that was laid over white, as uint8: RGB, or RGBA with its ``alpha`` again."""
    out = np.empty((*image.shape[:2], 3 if alpha is None else 4), "uint8")
    for top in range(0, len(image), rows):  # in strips, for the memory of large ones
        strip = image[top:top + rows]
        if alpha is not None:
            part = alpha[top:top + rows, :, None]
            strip = 1 - (1 - strip) / (np.maximum(part, 1) / np.float32(255))
            out[top:top + rows, :, 3:] = part
        out[top:top + rows, :, :3] = np.round(np.clip(strip, 0, 1) * 255)
    return out


def _photograph_exif(image):
    """EXIF of an image turned upright, as bytes for another file; nothing if it is damaged."""
    kept = Image.Exif()
    try:
        exif = image.getexif()
        kept.update({tag: exif[tag] for tag in EXIF_KEPT & set(exif)})
        details = dict(exif.get_ifd(ExifTags.IFD.Exif))
        details.pop(ExifTags.IFD.Interop, None)  # points into the old file
        sides = zip((40962, 40963), image.size, strict=True)
        details.update({tag: side for tag, side in sides if tag in details})
        for tag, entries in ((ExifTags.IFD.Exif, details),
                             (ExifTags.IFD.GPSInfo, dict(exif.get_ifd(ExifTags.IFD.GPSInfo)))):
            if entries:
                kept[tag] = entries
        content = kept.tobytes() if kept else b""
    except Exception:  # Pillow raises many kinds; the photograph is worth more than its EXIF
        return b""
    return content if len(content) < 65_000 else b""  # a JPEG holds no more


def load_image(path):
    """Read an image file: float32 RGB in [0, 1], shape (height, width, 3), upright.

    Raises :class:`ImageError` as :func:`open_image` does. Notebook 01.
    """
    return to_rgb(open_image(path))


def load_depth(path, farthest=5.0):
    """Read a depth map of ``sample_data``: float32 (height, width), 0 to ``farthest``.

    The file is a 16-bit greyscale PNG. The unit is the distance at which haze of beta 1 takes
    63 % of the light. Raises :class:`ImageError` as :func:`open_image` does, and for another
    kind of image. Notebook 01.
    """
    image = open_image(path)
    if not image.mode.startswith("I"):
        raise ImageError(f"{path}: not a depth map; save it as a 16-bit greyscale PNG.")
    return np.asarray(image, "float32") / 65535 * farthest
