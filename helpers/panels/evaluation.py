"""The panels of notebook 07: a scene under each method, a training run step by step, and haze of
any density.

Each is an object that is called with the values of the controls and returns (image, HTML of
numbers), the last two also a chart; the functions at the end give them their controls. Images are
float32 RGB in [0, 1], shape (height, width, 3).
"""

import json
from functools import lru_cache

import numpy as np

from helpers import env
from helpers.data import in_parallel
from helpers.haze import add_haze, dark_channel_prior, transmission
from helpers.images import central, load_image
from helpers.metrics import psnr, ssim
from helpers.panels.drawing import (
    ERROR_MAP,
    VERDICT_MAP,
    Curves,
    beside,
    coloured,
    error_map,
    numbers,
    resize_to,
    tagged,
    tint,
    wiped,
)
from helpers.panels.widgets import choice, panel, slider, steps_slider
from helpers.runs import load_frames, load_verdicts
from helpers.viz import DISCRIMINATOR, GENERATOR, HAZY, LOG2, PRIOR
from helpers.weights import find_runs

WIDTH, HEIGHT = 600, 400  # of every picture, at most: with numbers beside it fits 1280 pixels
COLOURS = {"hazy": HAZY, "dark channel prior": PRIOR, "pix2pix": GENERATOR}


def blend(hazy, dehazed, strength):
    """hazy + strength (dehazed - hazy), clipped: 0 is the input, 1 what the method proposes."""
    return np.clip((1 - strength) * hazy + strength * dehazed, 0, 1).astype("float32")


def decibels(value):
    return "identical" if np.isinf(value) else f"{value:.1f} dB"


class Compare:
    """A test scene under a method: a wipe against the hazy input, and the error as an overlay.

    ``scenes`` maps a name to (hazy, clear), ``methods`` a name to a function from a hazy to a
    dehazed image, which is called once a scene and kept. Notebook 07.
    """

    def __init__(self, scenes, methods):
        self.scenes, self.methods = scenes, methods
        self.result = lru_cache(64)(lambda scene, method: methods[method](scenes[scene][0]))
        self.scores = lru_cache(512)(self._scores)

    def output(self, scene, method, strength=1.0):
        """The method's image of a scene, at a strength of 0 to 1.5."""
        return blend(self.scenes[scene][0], self.result(scene, method), strength)

    def _scores(self, scene, method, strength):
        hazy, clear = self.scenes[scene]
        image = hazy if method is None else self.output(scene, method, strength)
        return psnr(image, clear), ssim(image, clear)

    def __call__(self, scene, method, strength=1.0, wipe=0.5, error=0.0):
        """Left of ``wipe``, a part of the width, the hazy image; ``error`` is the opacity of the
        error map over both.
        """
        hazy, clear = self.scenes[scene]
        sides = [hazy, self.output(scene, method, strength)]
        if error:  # an error of 0.5 and more has the brightest colour
            sides = [tint(x, coloured(2 * error_map(x, clear), ERROR_MAP), error) for x in sides]
        picture = tagged(resize_to(wiped(*sides, wipe), WIDTH, HEIGHT),
                         "hazy" if wipe > 0.2 else "", method if wipe < 0.75 else "")
        before, after = self.scores(scene, None, 0), self.scores(scene, method, strength)
        rows = [("PSNR", *map(decibels, (before[0], after[0]))),
                ("SSIM", f"{before[1]:.3f}", f"{after[1]:.3f}")]
        error_note = "Error map: black is none, yellow 0.5 and more." if error else ""
        return picture, numbers(rows, ("", "hazy", "dehazed"), (method, error_note))


def find_film(name="pix2pix", runs=None):
    """Folder of the newest finished run that kept pictures and verdicts, else the shipped one."""
    for folder in reversed(find_runs(name, runs or env.runs_folder(), finished=True)):
        if load_verdicts(folder) and load_frames(folder) and (folder / "history.json").exists():
            return folder
    return env.SAMPLE_DATA / "weights" / name


class TimeMachine:
    """A training run step by step: the picture, the PatchGAN's verdict on it, the losses.

    ``folder`` holds the run (see :func:`find_film`); clear images come from ``clear``, a folder, by
    the scene's name. Raises ValueError for a run without pictures and verdicts. Notebook 07.
    """

    def __init__(self, folder, clear=env.SAMPLE_DATA / "validation" / "clear"):
        self.frames, self.verdicts = load_frames(folder), load_verdicts(folder)
        self.history = {record["step"]: record
                        for record in json.loads((folder / "history.json").read_text())}
        self.scenes = sorted(set(self.frames) & set(self.verdicts))
        kept = [set(found[s]) for found in (self.frames, self.verdicts) for s in self.scenes]
        self.steps = sorted(set(self.history).intersection(*kept)) if kept else []
        if not self.steps:
            raise ValueError(f"{folder}: no pictures with the discriminator's verdicts are there; "
                             "train with scenes to watch and with an adversary.")
        self.clear = {path.stem: load_image(path) for path in clear.glob("*.jpg")
                      if path.stem in self.scenes}
        self.source = ("The run that ships with the project." if env.SAMPLE_DATA in folder.parents
                       else f"Your own run, {folder.name}.")

        def curve(name, label, colour):
            return label, self.steps, [self.history[step][name] for step in self.steps], colour

        size = (WIDTH // 2, 180)
        self.losses = Curves([curve("discriminator", "discriminator", DISCRIMINATOR),
                              curve("adversarial", "generator", GENERATOR)],
                             size, "adversarial losses", "step", line=(LOG2, "log 2"))
        self.l1 = Curves([curve("l1", "L1", GENERATOR)], size, "L1 loss", "step")

    def __call__(self, scene, step):
        shown, verdict = self.frames[scene][step], self.verdicts[scene][step]
        record, clear = self.history[step], self.clear.get(scene)
        picture = beside([framed(shown), verdict_picture(shown, verdict)],
                         [f"step {step}", "red: fake, blue: real"], WIDTH)
        chart = np.concatenate([self.losses.at(step, [record["discriminator"],
                                                      record["adversarial"]]),
                                self.l1.at(step, [record["l1"]])], axis=1)
        rows = [("patches called real", f"{(verdict > 0.5).mean():.0%}"),
                ("mean verdict", f"{verdict.mean():.2f}"),
                ("discriminator loss", f"{record['discriminator']:.2f}"),
                ("generator's", f"{record['adversarial']:.2f}"),
                ("L1 loss", f"{record['l1']:.3f}")]
        if clear is not None and clear.shape == shown.shape:
            rows.insert(0, ("PSNR", decibels(psnr(shown, clear))))
        return picture, numbers(rows, notes=(self.source,)), chart


def framed(picture, size=256):
    """A picture with a white frame around the central square, which the PatchGAN judged."""
    out = picture.copy()
    inside = central(out, size)  # a view
    inside[[0, 1, -2, -1]] = 1
    inside[:, [0, 1, -2, -1]] = 1
    return out


def verdict_picture(picture, verdict, opacity=0.75):
    """What was judged of a picture, in grey, under the verdict's colours: red fake, blue real.

    ``verdict`` has a probability for each field of 8×8 pixels. The outermost 8 pixels of the
    square are the centre of none and are left out, so that 256×256 pixels become 240×240, and a
    smaller picture less. Notebook 04 has the receptive field.
    """
    square = central(picture)[8:-8, 8:-8]
    grey = np.repeat(square.mean(axis=-1, keepdims=True), 3, axis=-1)
    rows, columns = ((np.arange(n) * m // n) for n, m in zip(square.shape, verdict.shape,
                                                             strict=False))
    return tint(grey, coloured(verdict, VERDICT_MAP)[rows[:, None], columns], opacity)


class HowHard:
    """A clear scene in haze of any density, and what is left for the methods to find.

    ``scenes`` maps a name to (clear, depth), of which the central 256×256 pixels are used, the size
    that the network was trained on; ``network`` maps images (count, 256, 256, 3) to dehazed ones;
    ``trained`` is the (lowest, highest) β of training. Notebook 07.
    """

    BETAS = (0, 0.25, 0.5, 1, 1.5, 2, 4)  # where the methods' curves are measured
    FINE = tuple(np.linspace(0, 2, 13) ** 2)  # the hazy image's, which is steep at first
    LIMITS = (5, 40)  # of the chart, in dB

    def __init__(self, scenes, network, trained):
        self.scenes = {name: tuple(map(central, images)) for name, images in scenes.items()}
        self.network, self.trained = network, trained
        self.chart = lru_cache(64)(self._chart)
        self.grid = lru_cache(2)(lambda scene, airlight: self._at(scene, self.BETAS, airlight))

    def hazy(self, scene, betas, airlight):
        """The scene at each β: (count, 256, 256, 3)."""
        clear, depth = self.scenes[scene]
        return np.stack([add_haze(clear, transmission(depth, b), airlight) for b in betas])

    def _at(self, scene, betas, airlight):
        """Images of the three methods at each β: (hazy, prior, network)."""
        hazy = self.hazy(scene, betas, airlight)
        prior = in_parallel(lambda image: dark_channel_prior(image)[0], hazy)
        return hazy, list(prior), self.network(hazy)

    def curves(self, scene, airlight):
        """{"hazy", "dark channel prior" or "pix2pix": (β values, PSNRs in dB)}, to be drawn."""
        _, prior, network = self.grid(scene, airlight)
        found = {"hazy": (self.FINE, self.hazy(scene, self.FINE, airlight)),
                 "dark channel prior": (self.BETAS, prior), "pix2pix": (self.BETAS, network)}
        clear = self.scenes[scene][0]
        return {name: (betas, [psnr(image, clear) for image in images])
                for name, (betas, images) in found.items()}

    def _chart(self, scene, airlight):
        found = self.curves(scene, airlight)
        curves = [(name, *found[name], colour) for name, colour in COLOURS.items()]
        return Curves(curves, (WIDTH, 200), "PSNR in dB", "β", self.LIMITS,
                      shade=(*self.trained, "trained on"))

    def __call__(self, scene, beta, airlight):
        if beta in self.BETAS:
            images = [found[self.BETAS.index(beta)] for found in self.grid(scene, airlight)]
        else:
            images = [found[0] for found in self._at(scene, [beta], airlight)]
        scores = [psnr(image, self.scenes[scene][0]) for image in images]
        low, high = self.trained
        where = "inside" if low <= beta <= high else "outside"
        rows = [(name, decibels(value)) for name, value in zip(COLOURS, scores, strict=True)]
        note = f"β {beta:.2f} is {where} the training range, {low:.2f} to {high:.2f}."
        return (beside(images, COLOURS, WIDTH), numbers(rows, ("PSNR", ""), (note,)),
                self.chart(scene, airlight).at(beta, scores))


def compare_panel(compare, scene, method):
    """Panel of a :class:`Compare`, starting at a scene and a method. Notebook 07."""
    return panel(
        compare,
        scene=choice("scene", sorted(compare.scenes), scene),
        method=choice("method", list(compare.methods), method),
        strength=slider("strength", 1.0, 0, 1.5, 0.05),
        wipe=slider("wipe", 0.5, 0, 1, 0.01),
        error=slider("error map", 0.0, 0, 1, 0.05),
    )


def time_panel(film):
    """Panel of a :class:`TimeMachine`, starting at the last step. Notebook 07."""
    return panel(
        film,
        scene=choice("scene", film.scenes),
        step=steps_slider("step", [(str(step), step) for step in film.steps]),
    )


def density_panel(hard, scene):
    """Panel of a :class:`HowHard`, starting at β 1. Notebook 07."""
    return panel(
        hard,
        scene=choice("scene", list(hard.scenes), scene),
        beta=slider("β", 1.0, 0, 4, 0.05),
        airlight=slider("airlight", 0.9, 0.4, 1, 0.05),
    )
