"""What the panels of notebook 04 show: each is called with the values of its controls and returns
(image, HTML of numbers). No widgets here; :mod:`helpers.widgets` wires them.

Images are float32 RGB in [0, 1], shape (height, width, 3).
"""

import json
from functools import lru_cache

import numpy as np

from helpers import env
from helpers.data import in_parallel
from helpers.haze import add_haze, dark_channel_prior, transmission
from helpers.images import load_image
from helpers.inference import central
from helpers.metrics import psnr, ssim
from helpers.panels.drawing import (
    ERROR_MAP,
    VERDICT_MAP,
    Chart,
    coloured,
    cut,
    error_map,
    fit,
    numbers,
    paste,
    tagged,
    tint,
)
from helpers.runs import load_frames, load_verdicts
from helpers.viz import ACCENT, HAZE, LOG2, NETWORK
from helpers.weights import find_runs

WIDTH = 600  # of every picture, in pixels: with numbers beside it fits a window of 1280
HEIGHT = 400


def blend(hazy, dehazed, strength):
    """hazy + strength (dehazed - hazy), clipped: 0 is the input, 1 what the method proposes."""
    return np.clip((1 - strength) * hazy + strength * dehazed, 0, 1).astype("float32")


def decibels(value):
    return "identical" if np.isinf(value) else f"{value:.1f} dB"


class Compare:
    """A test scene under a method: a wipe against the hazy input, and the error as an overlay.

    ``scenes`` maps a name to (hazy, clear), ``methods`` a name to a function from a hazy to a
    dehazed image, which is called once a scene and kept. Notebook 04.
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
        image = self.output(scene, method, strength)
        sides = [hazy, image]
        if error:  # an error of 0.5 and more has the brightest colour
            sides = [tint(x, coloured(2 * error_map(x, clear), ERROR_MAP), error) for x in sides]
        picture = tagged(fit(cut(*sides, wipe), WIDTH, HEIGHT),
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
    the scene's name. Notebook 04.
    """

    def __init__(self, folder, clear=env.SAMPLE_DATA / "validation" / "clear"):
        self.frames, self.verdicts = load_frames(folder), load_verdicts(folder)
        history = json.loads((folder / "history.json").read_text())
        files = {scene: clear / f"{scene}.jpg" for scene in self.frames}
        self.clear = {s: load_image(path) for s, path in files.items() if path.exists()}
        shipped = env.SAMPLE_DATA in folder.parents
        self.source = ("The run that ships with the project." if shipped
                       else f"Your own run, {folder.name}.")
        self.history = {record["step"]: record for record in history}
        self.scenes = sorted(set(self.frames) & set(self.verdicts))
        first = self.scenes[0]
        self.steps = sorted(set(self.frames[first]) & set(self.verdicts[first])
                            & set(self.history))

        def curve(name, colour, label):
            return label, self.steps, [self.history[s][name] for s in self.steps], colour

        size = (WIDTH // 2, 180)
        self.losses = Chart(
            [curve("discriminator", ACCENT, "discriminator"),
             curve("adversarial", NETWORK, "generator")],
            size, "adversarial losses", "step", line=(LOG2, "log 2"),
        )
        self.l1 = Chart([curve("l1", NETWORK, "L1")], size, "L1 loss", "step")

    def __call__(self, scene, step):
        picture, verdict = self.frames[scene][step], self.verdicts[scene][step]
        record, side = self.history[step], 240
        canvas = np.ones((side + 4 + 180, WIDTH, 3), "float32")
        shown = fit(picture, WIDTH - side - 4, side)
        paste(canvas, tagged(self._framed(shown, picture), f"step {step}"), 0, 0,
              WIDTH - side - 4, side)
        judged = tagged(verdict_picture(picture, verdict), "red: fake", "blue: real")
        paste(canvas, judged, WIDTH - side, 0)
        dots = [(record["discriminator"], ACCENT), (record["adversarial"], NETWORK)]
        paste(canvas, self.losses.at(step, dots), 0, side + 4)
        paste(canvas, self.l1.at(step, [(record["l1"], NETWORK)]), WIDTH // 2, side + 4)
        rows = [("PSNR", decibels(psnr(picture, self.clear[scene])))] if scene in self.clear else []
        rows += [("patches called real", f"{(verdict > 0.5).mean():.0%}"),
                ("mean verdict", f"{verdict.mean():.2f}"),
                ("discriminator loss", f"{record['discriminator']:.2f}"),
                ("generator's", f"{record['adversarial']:.2f}"),
                ("L1 loss", f"{record['l1']:.3f}")]
        return canvas, numbers(rows, notes=(self.source,))

    @staticmethod
    def _framed(shown, picture, size=256):
        """A fitted picture with a white frame around the square that the PatchGAN judged."""
        scale = shown.shape[0] / picture.shape[0]
        box = [max(0, round((n - size) // 2 * scale)) for n in picture.shape[:2]]
        ends = [min(n - 1, b + round(size * scale)) for n, b in zip(shown.shape, box, strict=False)]
        out = shown.copy()
        for rows in (box[0], ends[0]):
            out[rows:rows + 2, box[1]:ends[1]] = 1
        for columns in (box[1], ends[1]):
            out[box[0]:ends[0], columns:columns + 2] = 1
        return out


def verdict_picture(picture, verdict, opacity=0.75):
    """The judged square in grey under the verdict's 30×30 colours: red fake, blue real. 240×240.

    Each logit stands for a field 8 pixels apart from the next; the outermost 8 pixels of the
    square are the centre of none and are left out. Notebook 02 has the receptive field.
    """
    square = central(picture)
    square = fit(square, 256, 256)[8:248, 8:248]
    grey = np.repeat(square.mean(axis=-1, keepdims=True), 3, axis=-1)
    colours = coloured(verdict, VERDICT_MAP).repeat(8, axis=0).repeat(8, axis=1)
    return tint(grey, colours, opacity)


class HowHard:
    """A clear scene in haze of any density, and what is left for the methods to find.

    ``scenes`` maps a name to (clear, depth), of which the central 256×256 pixels are used, the size
    that the network was trained on; ``network`` maps images (count, 256, 256, 3) to dehazed ones;
    ``trained`` is the (lowest, highest) β of training. Notebook 04.
    """

    BETAS = (0, 0.25, 0.5, 1, 2, 4)  # where the methods' curves are measured
    FINE = tuple(np.linspace(0, 2, 13) ** 2)  # the hazy image's, which is steep at first
    LIMITS = (5, 40)  # of the chart, in dB

    def __init__(self, scenes, network, trained):
        self.scenes = {name: tuple(map(central, pair)) for name, pair in scenes.items()}
        self.network, self.trained = network, trained
        self.chart = lru_cache(64)(self._chart)
        self.grid = lru_cache(2)(lambda scene, airlight: self._at(scene, self.BETAS, airlight))

    def hazy(self, scene, betas, airlight):
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
        return Chart(curves, (WIDTH, 200), "PSNR in dB", "β", self.LIMITS,
                     shade=(*self.trained, "trained on"))

    def __call__(self, scene, beta, airlight):
        chart = self.chart(scene, airlight)
        if beta in self.BETAS:
            found = (images[self.BETAS.index(beta)] for images in self.grid(scene, airlight))
        else:
            found = (images[0] for images in self._at(scene, [beta], airlight))
        images = list(found)
        scores = [psnr(image, self.scenes[scene][0]) for image in images]
        side = (WIDTH - 8) // 3
        canvas = np.ones((side + 4 + 200, WIDTH, 3), "float32")
        for i, (image, name) in enumerate(zip(images, COLOURS, strict=True)):
            paste(canvas, tagged(fit(image, side, side), name), i * (side + 4), 0)
        dots = list(zip(scores, COLOURS.values(), strict=True))
        paste(canvas, chart.at(beta, dots), 0, side + 4)
        low, high = self.trained
        where = "inside" if low <= beta <= high else "outside"
        rows = [(name, decibels(value)) for name, value in zip(COLOURS, scores, strict=True)]
        note = f"β {beta:.2f} is {where} the training range, {low:.2f} to {high:.2f}."
        return canvas, numbers(rows, ("PSNR", ""), (note,))


COLOURS = {"hazy": HAZE, "dark channel prior": ACCENT, "pix2pix": NETWORK}
