"""Dehaze a folder of photographs: what ``python scripts/dehaze.py IN OUT`` does."""

import argparse
import math
import os
import sys
import textwrap
import warnings
from pathlib import Path

from tqdm import tqdm

from helpers import env
from helpers.pairs import IMAGE_SUFFIXES

# helpers.images and helpers.inference are imported late: they load TensorFlow, which takes seconds
# and is not needed to say that an argument is wrong.


def find_images(source, out):
    """Sorted images below the folder ``source``, and one sentence for each folder that fails.

    Left out are what is hidden and the folder ``out``, which may lie inside ``source``.
    """
    found, failures = [], []

    def unreadable(error):
        failures.append(f"{error.filename}: cannot be read ({error.strerror}); check its rights.")

    for folder, folders, names in os.walk(source, onerror=unreadable):
        folder = Path(folder)
        folders[:] = [n for n in folders
                      if not n.startswith(".") and (folder / n).resolve() != out.resolve()]
        found += [folder / n for n in names
                  if not n.startswith(".") and Path(n).suffix.lower() in IMAGE_SUFFIXES]
    return sorted(found), failures


def plan(source, out):
    """What is to be made of a file or of a folder's images: pairs of paths (image, result).

    Results lie in ``out`` as the images lie in ``source``, under their names; a format that
    :func:`helpers.images.encode` does not write becomes PNG. Returns (pairs, failures): one
    sentence for each image whose result would overwrite another one or an image.
    """
    from helpers.images import FORMATS

    images, failures = ([source], []) if source.is_file() else find_images(source, out)
    originals = {path.resolve() for path in images}
    pairs, taken = [], {}
    # First those that keep their names, so that a.bmp does not take the place of a.png.
    for path in sorted(images, key=lambda path: (path.suffix.lower() not in FORMATS, path)):
        target = out / (path.name if path == source else path.relative_to(source))
        if path.suffix.lower() not in FORMATS:
            target = target.with_suffix(".png")
        other = taken.setdefault(os.path.normcase(target), path)
        if other != path:
            failures.append(f"{path}: its result would overwrite that of {other}; rename one.")
        elif target.resolve() in originals:
            failures.append(f"{path}: its result would overwrite {target}; take another folder.")
        else:
            pairs.append((path, target))
    return pairs, failures


def write(path, content):
    """Write a file, and its folder, so that an interruption leaves what was there or all of it.

    ``content`` is bytes. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".dehaze-{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def dehaze_files(generator, pairs, strength=1.0):
    """Dehaze images into files, with a progress bar; returns (number made, failures).

    ``pairs`` are those of :func:`plan`. A failure is one sentence on an image, and the next one is
    tried; when a result cannot be written, that is the last one.
    """
    from helpers.images import ImageError, encode, open_image, to_rgb
    from helpers.inference import dehaze

    made, failures = 0, []
    for source, target in tqdm(pairs, unit="image"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tags that Pillow does not know
                image = open_image(source)
                result = dehaze(generator, to_rgb(image), strength)
                content = encode(result, image, target.suffix)
        except ImageError as error:
            failures.append(str(error))
            continue
        except Exception as error:  # whatever it is, the next photograph may be a good one
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
            failures.append(f"{source}: could not be dehazed ({reason}); save it again as PNG.")
            continue
        try:
            write(target, content)
        except OSError as error:
            reason = f"cannot be written ({error.strerror or error})"
            failures.append(f"{target}: {reason}; make room or take another folder, and go on.")
            break
        made += 1
    return made, failures


def generator_of(weights):
    """The generator of a weights file, or of the run or shipped weights of that name.

    Raises :class:`helpers.inference.WeightsError`.
    """
    from helpers.weights import find_weights, load_generator

    file = Path(weights)
    named = file.suffix != ".safetensors" and not file.is_file()
    return load_generator(find_weights(weights) / "generator.safetensors" if named else file)


def _strength(text):
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 2):
        raise ValueError
    return value


def _options(arguments):
    """The command line's options; a wrong one ends the program with status 2 and one sentence."""
    parser = argparse.ArgumentParser(

        description="Dehaze a photograph or a folder of them, with its subfolders, at full size.",
        epilog="Exit status: 0 all is done, 1 some failed, 2 wrong usage, 130 interrupted.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="an image file or a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the results")
    parser.add_argument("--weights", default="improved", metavar="NAME_OR_FILE",
                        help="a run or shipped weights, or a .safetensors file (%(default)s)")
    parser.add_argument("--strength", type=_strength, default=1.0,
                        help="0 changes nothing, 1 is the network's proposal, 2 the most")
    parser.add_argument("--again", action="store_true", help="also what is in OUT already")
    options = parser.parse_args(arguments)
    source, out = options.source, options.out
    problem = None
    if not source.exists():
        problem = f"{source}: no such file or folder; check the path."
    elif source.resolve() == out.resolve():
        problem = f"{out}: the results would overwrite the photographs; name another folder."
    elif out.exists() and not out.is_dir():
        problem = f"{out}: a file; name a folder for the results."
    if problem:
        parser.exit(2, problem + "\n")
    return options


def main(arguments=None):
    """The command line (see ``--help``); returns the exit status."""
    options = _options(arguments)
    try:
        env.import_tensorflow()
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted; what is there is whole, run it again for the rest.", file=sys.stderr)
        return 130


def _run(options):
    from helpers.weights import WeightsError

    pairs, failures = plan(options.source, options.out)
    if not pairs and not failures:
        print(f"{options.source}: no images in it; put .jpg or .png files there.", file=sys.stderr)
        return 2
    missing = [pair for pair in pairs if options.again or not pair[1].exists()]
    made = 0
    if missing:
        try:
            generator = generator_of(options.weights)
        except (WeightsError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        made, more = dehaze_files(generator, missing, options.strength)
        failures += more
    there = len(pairs) - len(missing)
    new = f"{made} of {len(missing)} images dehazed" if missing else "no image was missing"
    print(f"{new}, {there} were there already (--again does them anew)." if there else f"{new}.")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
