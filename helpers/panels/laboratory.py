"""The panel of notebook 06: two runs of the laboratory side by side, step by step.

Images are float32 RGB in [0, 1], shape (256, 256, 3).
"""

import html

import ipywidgets as w
import numpy as np
from IPython.display import display

from helpers import experiments
from helpers.experiments import SHOWN, VARIANTS, scenes_of, stored
from helpers.metrics import psnr, sharpness
from helpers.panels.drawing import Chart, beside, numbers, resize_to, tagged, wiped
from helpers.panels.widgets import TEXT, choice, panel, slider, steps_slider
from helpers.viz import ACCENT, CLEAR, INK, LOG2, grid, show

SIDE, CROP = 400, 64  # pixels: the wipe's side, and the part that is enlarged beside it
CROPS = {"neuschwanstein": (110, 90), "mont-st-michel": (100, 150), "petra": (60, 70),
         "carcassonne": (100, 150), "great-pyramid": (120, 60)}  # left, top
COLOURS = CLEAR, ACCENT  # of the left and the right run's curves


class LossChart(Chart):
    """The losses of two runs: the discriminator's in full lines, L1 in dashed ones."""

    def __init__(self, runs, size):
        super().__init__(size, "losses: discriminator (full line), L1 (dashed)", "step",
                         (0, SHOWN[-1]), (0, 1.1))
        for run, colour in zip(runs, COLOURS, strict=True):
            for key, style in (("discriminator", "-"), ("l1", "--")):
                points = [(h["step"], h[key]) for h in run.history if h.get(key) is not None]
                if points:
                    self.axis.plot(*zip(*points, strict=True), style, color=colour)
        self.axis.axhline(LOG2, color=INK, ls=":", lw=1)
        self.axis.text(SHOWN[-1], LOG2 + 0.02, "log 2", ha="right", va="bottom")
        self.cursor = self.axis.axvline(0, color=INK, lw=1.2, animated=True)
        self.moving = [self.cursor]

    def at(self, step):
        """The chart (see :meth:`Chart.image`) with the cursor at a step."""
        self.cursor.set_xdata([step, step])
        return self.image()


class Laboratory:
    """The stored runs of one task, "fog" or "haze", and those that the reader adds.

    Called with the values of the panel's controls it returns (image, HTML of numbers, chart).
    Notebook 06.
    """

    def __init__(self, task="fog", folder=experiments.STORED):
        self.task, self.scenes = task, scenes_of(task, folder)
        records = stored(folder)
        self.runs = {label(name): records[name, 0] for name, variant in VARIANTS.items()
                     if variant.task == task and (name, 0) in records}
        self.charts = {}

    def picture(self, run, scene, step):
        """A run's picture of a scene at the last of its steps up to ``step``."""
        frames = self.runs[run].pictures[scene]
        return frames[max(n for n in frames if n <= max(step, min(frames)))]

    def __call__(self, left, right, scene, step, wipe=0.5):
        """``left`` of the edge at ``wipe`` and ``right`` of it; beside them a part, enlarged."""
        _, clear = self.scenes[scene]
        both = [self.picture(run, scene, step) for run in (left, right)]
        x, y = CROPS.get(scene, (96, 96))
        parts = [resize_to(image[y:y + CROP, x:x + CROP], 200, 198) for image in both]
        column = np.concatenate([tagged(part, tag) for part, tag in zip(parts, "lr", strict=True)])
        whole = resize_to(wiped(*both, wipe), SIDE, SIDE)
        picture = beside([tagged(whole, "left", "right"), column], ["", ""], width=None)
        chart = self.charts.get((left, right))
        if chart is None:
            chart = LossChart([self.runs[left], self.runs[right]], (picture.shape[1], 190))
            self.charts[left, right] = chart
        return picture, numbers(self.scores(both, clear, left, right), ("", "left", "right"),
                                (left, right)), chart.at(step)

    def scores(self, images, clear, *runs):
        """Rows of numbers: of this scene and step, and of all scenes at the end."""
        ends = [self.runs[run].scores for run in runs]

        def row(name, key, form):
            return (name, *(format(end[key], form) if end else "–" for end in ends))

        return [("this picture:", "", ""), ("PSNR", *(f"{psnr(x, clear):.1f} dB" for x in images)),
                ("sharpness", *(f"{sharpness(x, clear):.2f}" for x in images)),
                ("all six at the end:", "", ""), row("PSNR", "psnr", ".1f"),
                row("SSIM", "ssim", ".3f"), row("sharpness", "sharpness", ".2f"),
                row("at half size", "sharpness_halved", ".2f")]

    def run(self, name, minutes=1.0, runs=None):
        """Train a variant for some minutes, watch it beside the stored run, and add it here.

        Raises ValueError for an unknown name, as :func:`helpers.experiments.run`.
        """
        handle = display(display_id=True)
        scene, (_, clear) = next(iter(self.scenes.items()))

        def callback(report):
            step = report.history[-1]["step"]
            if handle and step >= SHOWN[0]:
                old = self.picture(label(name), scene, step)
                figure = beside_stored(report, old, clear)
                show(figure, f"{label(name)}: {report.status}", handle=handle)

        record = experiments.run(name, minutes, callback, runs)
        self.runs[f"yours: {label(name)}"] = record
        return record

    def panel(self, left="loss: L1 alone", right="loss: L1 and adversary, λ = 100"):
        """The panel, starting at two runs, the first scene and the last step."""
        options = list(self.runs)
        return panel(
            self,
            left=choice("left", options, left), right=choice("right", options, right),
            scene=choice("scene", list(self.scenes)),
            step=steps_slider("step", [(str(step), step) for step in SHOWN]),
            wipe=slider("wipe", 0.5, 0, 1, 0.01),
        )


def beside_stored(report, stored, clear):
    """Figure of a run in the laboratory: input, its output now, the stored one, and the truth.

    ``report`` is a :class:`helpers.runs.Report`. Notebook 06.
    """
    (hazy, now, _), *_ = report.pictures
    step = report.history[-1]["step"]
    figure = grid([[hazy, now, stored, clear]],
                  ["input", f"yours, step {step}", "stored, nearest step", "truth"])
    figure.suptitle(report.status)
    return figure


def label(name):
    """What a variant is called in the panel: its group and its title."""
    return f"{VARIANTS[name].group}: {VARIANTS[name].title}"


def prediction(question, replies, right):
    """A question with answers to choose from; a choice is marked, and gets its reply.

    ``replies`` maps each answer to what is said to it, ``right`` is one of them.
    """
    buttons = w.RadioButtons(options=list(replies), value=None, layout={"width": "max-content"})
    reply = w.HTML()

    def mark(change):
        answer = change["new"]
        verdict = "Yes." if answer == right else "Look again."
        reply.value = f"<div style='{TEXT}'><b>{verdict}</b> {html.escape(replies[answer])}</div>"

    buttons.observe(mark, "value")
    asked = w.HTML(f"<div style='{TEXT}'><b>{html.escape(question)}</b></div>")
    return w.VBox([asked, buttons, reply])
