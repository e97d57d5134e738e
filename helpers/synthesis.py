"""Haze made on the fly: endless training pairs from clear photographs and from real hazy pairs.

NumPy and Pillow only. Images are float32 RGB in [0, 1], shape (height, width, 3); every random
decision comes from the generator that is passed in. Used in notebook 01, taught in notebook 08.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers.haze import add_haze, check_image, guided_upsample, resize, transmission
from helpers.images import central, load_depth, load_image, to_uint8


@dataclass(frozen=True)
class Ranges:
    """What the haze of one pair is drawn from: uniformly, unless said otherwise.

    ``thickness`` is the mean optical depth (beta times depth) outside the sky, drawn evenly in its
    logarithm: 0.15 is a veil, 2.5 leaves 8 % of the light. ``airlight`` is the level, ``tint`` how
    far a channel may be off it. ``uneven`` is the largest exponent of the clouds that multiply
    the haze. ``noise`` (standard deviation in 1/255) and ``quality`` (JPEG) are applied half of
    the time each. ``near_clear`` is the share of pairs with hardly any haze (a thickness of at most
    0.1), which teach a network to leave a clear photograph alone.

    What others draw: RESIDE (Li et al. 2019) beta 0.6 to 1.8 a metre and airlight 0.7 to 1 indoors,
    beta 0.04 to 0.2 and airlight 0.8 to 1 outdoors, neither noise nor JPEG; RIDCP (Wu et al. 2023)
    beta 0.3 to 1.5, doubled, on normalised inverse depth, airlight 0.25 to 1 (0.025 a channel),
    half of the time each noise of 2 to 25 before the haze and JPEG of 30 to 95. Notebook 08.
    """

    thickness: tuple = (0.15, 2.5)
    airlight: tuple = (0.45, 1.0)
    tint: float = 0.06
    uneven: float = 0.8
    noise: tuple = (0.0, 10.0)
    quality: tuple = (40, 95)
    near_clear: float = 0.2


def smooth_noise(shape, rng, octaves=4):
    """Multi-octave noise: float32 ``shape`` with mean 0 and standard deviation 1, in soft clouds.

    Each octave has half the size and half the strength of the one before. Perlin 1985.
    """
    total = np.zeros(shape, "float32")
    for octave in range(octaves):
        side = 2 ** (octave + 1) + 1
        total += resize(rng.standard_normal((side, side)), shape) / 2**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def find_sky(clear):
    """Guess the sky of a clear photograph: mask (height, width), True for sky.

    Bright, blue or grey, smooth, and with nothing but sky above it. White walls at the upper edge
    deceive it, and the rims of clouds cut it into columns.
    """
    small = clear[::4, ::4]
    red, green, blue = np.moveaxis(small, -1, 0)
    grey = small.mean(axis=-1)
    step = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    looks = (blue > red - 0.03) & (blue > green - 0.04) & (blue > 0.35) & (step < 0.06)
    sky = np.logical_and.accumulate(looks, axis=0).astype("float32")
    return resize(sky, clear.shape[:2]) > 0.5


def random_depth(clear, sky, rng, depth=None):
    """A depth map (height, width) with mean 1 outside the sky, which is far.

    Mixes at random a known ``depth`` (if there is one), a ground plane that recedes to a horizon,
    and clouds of noise, and lets the edges of the mixture follow the photograph's. A wrong depth
    does no harm: the network is to measure haze by how it looks, not by where it usually is.
    """
    height, width = sky.shape
    y = np.linspace(0, 1, height, dtype="float32")[:, None]
    plane = 1 / (np.maximum(y - rng.uniform(-0.3, 0.4), 0) + rng.uniform(0.1, 0.5))
    parts = [np.broadcast_to(plane, sky.shape), np.exp(0.7 * smooth_noise(sky.shape, rng))]
    weights = list(rng.dirichlet([0.6, 0.6]))
    if depth is not None and depth.max() > 0 and rng.random() < 0.8:
        parts.append(depth)
        weights = [0.3 * w for w in weights] + [0.7]
    mixed = sum(w * part / part.mean() for w, part in zip(weights, parts, strict=True))
    coarse = resize(mixed, (height // 4, width // 4))
    mixed = guided_upsample(clear.mean(axis=-1), coarse, max(height // 64, 2), 1e-3)
    mixed = np.maximum(mixed, 0.02)
    if not sky.all():
        mixed = mixed / mixed[~sky].mean()
        return np.where(sky, max(np.quantile(mixed[~sky], 0.98), rng.uniform(1, 4)), mixed)
    return np.full_like(mixed, rng.uniform(1, 4))


def synthesise(clear, rng, depth=None, sky=None, ranges=None):
    """A hazy version of ``clear``, float32 RGB in [0, 1]; the haze is drawn from ``ranges``.

    ``depth`` and ``sky`` (height, width) are optional. With a sky in the picture the airlight is
    mostly near the sky's own brightness: it is the same light, and a network that learned
    otherwise darkens every sky. Scattering model as in :func:`helpers.haze.add_haze`. Raises
    ValueError if ``clear`` is no RGB image in [0, 1]. Notebook 08.
    """
    clear, ranges = check_image(clear, "clear"), ranges or Ranges()
    sky = find_sky(clear) if sky is None else sky > 0.5
    thickness = np.exp(rng.uniform(*np.log(ranges.thickness)))
    if rng.random() < ranges.near_clear:
        thickness = rng.uniform(0, 0.1)
    optical = thickness * random_depth(clear, sky, rng, depth)
    if rng.random() < 0.4:  # drifting smoke instead of an even mist
        optical = optical * np.exp(rng.uniform(0, ranges.uneven) * smooth_noise(sky.shape, rng))
    airlight = airlight_level(clear, sky, rng, ranges)
    colour = airlight + rng.uniform(-ranges.tint, ranges.tint, 3) * rng.random()
    if rng.random() < 0.3:  # a light that is not the same everywhere
        colour = colour * (1 + 0.08 * smooth_noise(sky.shape, rng, 2)[..., None])
    return taken(add_haze(clear, np.exp(-optical), np.clip(colour, 0, 1)), rng, ranges)


def airlight_level(clear, sky, rng, ranges):
    """How bright the haze is, 0..1: mostly about as bright as the ``sky`` (a mask), if any."""
    level = rng.uniform(*ranges.airlight)
    if sky is not None and sky.mean() > 0.03 and rng.random() < 0.8:
        level = np.clip(clear[sky].mean() * rng.uniform(0.9, 1.3), *ranges.airlight)
    return level


def taken(hazy, rng, ranges):
    """An RGB image in [0, 1] as a camera files it: noise half of the time, and JPEG as well."""
    if rng.random() < 0.5:
        hazy = hazy + rng.normal(0, rng.uniform(*ranges.noise) / 255, hazy.shape)
    hazy = np.clip(hazy, 0, 1).astype("float32")
    return jpeg(hazy, rng.integers(*ranges.quality)) if rng.random() < 0.5 else hazy


def haze_over(clear, depth, rng, sky=None, airlights=None, ranges=None, thickness=(0.15, 3.0)):
    """A photograph in haze over its own depth, float32 RGB in [0, 1].

    ``depth`` (height, width) is 1 at the far end of the scene, where the optical depth is drawn
    from ``thickness``, evenly in its logarithm: from a veil to t = 0.05, below which no place
    falls. Half of the time smoke lies in front of the whole scene as well, and half of the time it
    drifts. ``airlights`` (n, 3), RGB, are those of real haze, as
    :func:`helpers.haze.estimate_airlight` finds them: one lends its hue three times out of four.
    ``sky`` (height, width), if there is one, and the rest of ``ranges`` are as in
    :func:`synthesise`. Notebook 08.
    """
    ranges = ranges or Ranges()
    optical = np.exp(rng.uniform(*np.log(thickness)))
    if rng.random() < ranges.near_clear:
        optical = rng.uniform(0, 0.1)
    front = rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0
    optical = optical * ((1 - front) * depth + front)
    if rng.random() < 0.5:
        clouds = np.exp(rng.uniform(0, ranges.uneven) * smooth_noise(depth.shape, rng))
        optical = optical * clouds
    colour = np.ones(3)
    if airlights is not None and rng.random() < 0.75:
        colour = airlights[rng.integers(len(airlights))]
    colour = colour / np.mean(colour) * airlight_level(clear, sky, rng, ranges)
    if rng.random() < 0.3:  # a light that is not the same everywhere
        colour = colour * (1 + 0.08 * smooth_noise(depth.shape, rng, 2)[..., None])
    t = np.maximum(np.exp(-optical), 0.05).astype("float32")
    return taken(add_haze(clear, t, np.clip(colour, 0, 1)), rng, ranges)


def jpeg(image, quality):
    """What JPEG compression of ``quality`` (1 to 95) leaves of an RGB image in [0, 1]."""
    buffer, pixels = io.BytesIO(), to_uint8(image)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(quality))
    return np.asarray(Image.open(buffer), "float32") / 255


def restrengthen(hazy, clear, rng):
    """A real pair with another amount of its own haze: ``clear`` + s (``hazy`` - ``clear``).

    Exact as far as the scattering model holds, for I - J = (1 - t)(A - J): the haze is s times as
    opaque. Two thirds of the pairs stay as they are. Notebook 08.
    """
    s = rng.uniform(0, 1.1) if rng.random() < 1 / 3 else 1.0
    return np.clip(clear + s * (hazy - clear), 0, 1)


def vary_exposure(hazy, clear, rng):
    """The same gamma, brightness and white balance for both images of a pair, half of the time."""
    if rng.random() < 0.5:
        return hazy, clear
    gamma, gain = rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.1) * rng.uniform(0.96, 1.04, 3)
    return tuple(np.clip(gain * x**gamma, 0, 1).astype("float32") for x in (hazy, clear))


def random_crop(images, rng, size=256, longest=(320, 700)):
    """The same random square of several images of one shape, resized to ``size`` and mirrored.

    ``images`` are uint8 arrays, RGB or grey. The scale is that of a photograph whose long side
    has ``longest`` pixels, drawn evenly in its logarithm. Returns float32 arrays in [0, 1].
    """
    height, width = images[0].shape[:2]
    scale = np.exp(rng.uniform(*np.log(longest))) / max(height, width)
    side = min(size / scale, height, width)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    mirrored, box = rng.random() < 0.5, (left, top, left + side, top + side)
    crops = []
    for image in images:
        crop = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box)
        crop = np.asarray(crop, "float32") / 255
        crops.append(crop[:, ::-1] if mirrored else crop)
    return crops


class Blend:
    """Pair n of an endless training set from several sources, as a function of (seed, n) alone.

    ``sources`` lists (weight, scenes, make): a source is drawn in proportion to its weight, then
    one of its scenes, a list of uint8 arrays of one shape (see :func:`random_crop`). ``make(crops,
    rng)`` turns the crops, float32 in [0, 1], into (hazy, clear), which calling this returns, RGB
    in [0, 1], shape (size, size, 3). Sources without scenes are left out. Notebook 08.
    """

    def __init__(self, sources, size=256, seed=0):
        self.sources = [source for source in sources if source[0] > 0 and len(source[1])]
        self.size, self.seed = size, seed

    def __call__(self, n):
        rng = np.random.default_rng([self.seed, int(n)])
        weights = np.array([weight for weight, *_ in self.sources])
        _, scenes, make = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
        crops = random_crop(scenes[rng.integers(len(scenes))], rng, self.size)
        return tuple(np.asarray(image, "float32") for image in make(crops, rng))


def thick_fog(clear, depth, rng, beta=None, airlight=None):
    """A clear photograph in fog so thick that little of the distance arrives, on a noisy sensor.

    ``clear`` is RGB in [0, 1], ``depth`` (height, width) is over its median in the whole scene.
    Transmission is exp(-beta·d) with d at least 0.5, so that even the foreground is in fog.
    ``beta`` is drawn from 1.5 to 4 unless given, ``airlight`` from 0.75 to 0.95; the noise has a
    standard deviation of 6/255, and the result is rounded to 8 bits. Notebook 05.
    """
    beta = rng.uniform(1.5, 4) if beta is None else beta
    airlight = rng.uniform(0.75, 0.95) if airlight is None else airlight
    hazy = add_haze(clear, transmission(np.maximum(depth, 0.5), beta), airlight)
    hazy = hazy + rng.normal(0, 6 / 255, clear.shape)
    return to_uint8(hazy).astype("float32") / 255


def fog_scenes(folder):
    """The scenes of a part of ``sample_data``: a list of (name, clear, depth over its median)."""
    scenes = []
    for path in sorted((folder / "clear").iterdir()):
        depth = load_depth(folder / "depth" / f"{path.stem}.png")
        scenes.append((path.stem, load_image(path), depth / np.median(depth)))
    return scenes


def fog_views(scenes, size=256, seed=0):
    """The middle of each of :func:`fog_scenes` in one fog, to watch: a list of (name, hazy, clear).

    beta is 2.5 and the airlight 0.85; ``seed`` decides the sensor's noise. Notebook 05.
    """
    views = []
    for n, (name, clear, depth) in enumerate(scenes):
        clear, depth = central(clear, size), central(depth, size)
        hazy = thick_fog(clear, depth, np.random.default_rng([seed, n]), 2.5, 0.85)
        views.append((name, hazy, clear))
    return views


class ThickFog:
    """Pair n of an endless training set in :func:`thick_fog`, as a function of (seed, n) alone.

    ``scenes`` is what :func:`fog_scenes` returns. A pair is a random square of a random scene, half
    of the time mirrored; ``jitter=False`` always takes the middle, and ``paired=False`` another
    square for the clear image than for the hazy one. Calling it returns (hazy, clear), float32 RGB
    in [0, 1], shape (size, size, 3). Notebook 05.
    """

    def __init__(self, scenes, size=256, seed=0, jitter=True, paired=True):
        self.scenes, self.size, self.seed = scenes, size, seed
        self.jitter, self.paired = jitter, paired

    def __call__(self, n):
        rng = np.random.default_rng([self.seed, int(n)])
        _, clear, depth = self.scenes[rng.integers(len(self.scenes))]
        if self.jitter:
            part, other = (self.square(depth.shape, rng) for _ in range(2))
        else:
            clear, depth = central(clear, self.size), central(depth, self.size)
            part = other = np.s_[:]
        hazy = thick_fog(clear[part], depth[part], rng)
        return hazy, clear[part if self.paired else other]

    def square(self, shape, rng):
        """A random square of an image, as what it is indexed with."""
        top, left = (rng.integers(n - self.size + 1) for n in shape)
        columns = np.arange(left, left + self.size)[:: rng.choice([-1, 1])]
        return np.s_[top:top + self.size, columns]


NO_JPEG = 100  # the quality that stands for "not compressed at all"


def make_haze(clear, depth, beta, airlight=0.9, warmth=0.0, uneven=0.0, noise=0.0,
              quality=NO_JPEG, seed=0):
    """A photograph in haze as a camera would file it, and its transmission: (hazy, t).

    First the air, then the sensor, then the file. ``depth`` (height, width) and ``beta`` as in
    :func:`helpers.haze.transmission`; ``warmth`` > 0 adds red to the ``airlight`` (0..1) and takes
    blue away; ``uneven`` is the exponent of the multi-octave clouds that multiply beta (0: the same
    everywhere), ``noise`` the sensor's standard deviation in 1/255, ``quality`` that of JPEG, 1 to
    95, or :data:`NO_JPEG`. ``seed`` decides the clouds and the noise. Raises ValueError if
    ``clear`` is no RGB image in [0, 1]. Notebook 01.
    """
    clear, rng = check_image(clear, "clear"), np.random.default_rng(seed)
    clouds = np.exp(uneven * smooth_noise(depth.shape, rng))
    t = transmission(depth * clouds, beta).astype("float32")
    hazy = add_haze(clear, t, np.clip([airlight + warmth, airlight, airlight - warmth], 0, 1))
    grain = rng.standard_normal(hazy.shape, "float32")
    hazy = np.clip(hazy + noise / 255 * grain, 0, 1).astype("float32")
    return (hazy if quality >= NO_JPEG else jpeg(hazy, min(quality, 95))), t
