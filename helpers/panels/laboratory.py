"""The laboratory of notebook 06: two runs side by side, step by step, predictions, and figures.

Images are float32 RGB in [0, 1], shape (256, 256, 3).
"""

import html
from types import SimpleNamespace

import ipywidgets as w
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from helpers import experiments
from helpers.experiments import FIRST, SHOWN, VARIANTS, detail, ends_of, scenes_of, stored
from helpers.images import central
from helpers.metrics import psnr, sharpness
from helpers.panels.drawing import Chart, beside, numbers, resize_to, tagged, wiped
from helpers.panels.widgets import TEXT, choice, panel, slider, steps_slider
from helpers.viz import ACCENT, CLEAR, GENERATOR, INK, L1, LOG2, grid, show, zoom

SIDE, CROP = 400, 64  # pixels: the wipe's side, and the part that is enlarged beside it
CROPS = {"neuschwanstein": (110, 90), "mont-st-michel": (100, 150), "petra": (60, 70)}  # left, top
COLOURS = CLEAR, ACCENT  # of the left and the right run's curves
NAMED = {  # runs that the figure of all names, and where: right of the dot, in points, and above it
    "l1": ("L1 alone", -20, -20), "pix2pix": ("pix2pix", -16, 10), "batch-1": ("batch 1", 8, -4),
    "no-jitter": ("always the same crop", -70, -20), "no-skips": ("no skips", 8, -14),
    "unpaired": ("cropped apart", 8, 2), "gan": ("adversary alone", 8, -4),
    "haze-l1": ("L1 alone", -20, 10), "haze-pix2pix": ("pix2pix", -16, -20),
    "haze-l1-ours": ("L1 alone, added", -36, 10), "haze-ours": ("pix2pix, added", -32, -20)}

# The question before each group of variants: (question, {answer: what is said to it}, the right
# one). They are asked in notebook 06 before the pictures, which a reader should not know yet.
QUESTIONS = {
    "loss": ("The adversary alone, without the L1 loss: what will it paint in 700 steps?", {
        "the right scene, sharper than all others":
            "Sharp, perhaps. But what would tie the picture to this scene? The discriminator "
            "could, since it sees the fog; it has to learn that first.",
        "a convincing photograph of another scene":
            "A photograph that convinces a discriminator which began to learn when the generator "
            "did need not convince you.",
        "a pattern in which at most large outlines are left":
            "What ties the picture to the scene is the L1 loss.",
    }, "a pattern in which at most large outlines are left"),
    "discriminator": ("What can a discriminator teach that sees single pixels?", {
        "sharpness, for it sees every pixel":
            "Blur is a matter of neighbours, and it sees none.",
        "at most colours":
            "A pixel has a colour, and nothing else.",
        "where things are, for it sees the fog beside the picture":
            "A pixel of fog says little about where anything is, and the L1 loss teaches that "
            "already.",
    }, "at most colours"),
    "generator": ("What does the decoder lose without skips?", {
        "fine texture; the outlines stay":
            "Count what comes through: 128 numbers for the whole image. Outlines need more.",
        "every outline; at best colours are left":
            "128 numbers cannot say where every edge runs.",
        "nothing: the bottleneck has learned all it needs":
            "128 numbers cannot hold a photograph. Longer training would help with scenes that it "
            "learns by heart, not with new ones.",
    }, "every outline; at best colours are left"),
    "training": ("What do simultaneous updates change?", {
        "the picture becomes blurred: the adversary comes too late":
            "It is one update behind at every step, and one update changes little.",
        "the training swings and fails":
            "In the toy of notebook 03 that took a rate that was far too high. These are moderate.",
        "nothing that one could see":
            "The generator meets the discriminator as it was one small update ago; nothing else "
            "changes.",
    }, "nothing that one could see"),
    "data": ("The hazy and the clear image are cropped apart: what does the network learn?", {
        "as good a picture, since every image is there":
            "Every image is there, but not beside its own haze.",
        "rough colours: green below, blue above":
            "The clear crop no longer says where anything stands in the hazy one. What can be "
            "learned is what stays true when a crop moves.",
        "nothing: the training stops with an error":
            "The shapes are right, so nothing stops. That is what makes it dangerous.",
    }, "rough colours: green below, blue above"),
    "ordinary haze": ("L1 alone, once painting everything, once adding to the input: which is "
                      "sharper in ordinary haze?", {
        "the one that paints, for it is free to paint anything":
            "It is free to, and it has to: every edge must pass through its layers and come out "
            "where it was.",
        "neither: they have the same loss":
            "The same loss, but one of them starts from a photograph that has its edges.",
        "the one that adds, for the edges are in the picture":
            "It has only to leave them where they are.",
    }, "the one that adds, for the edges are in the picture"),
}


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
    """The stored runs of one task, "fog" or "haze", the input, the truth, and the reader's runs.

    Called with the values of the panel's controls it returns (image, HTML of numbers, chart).
    Notebook 06.
    """

    def __init__(self, task="fog", folder=experiments.STORED):
        self.task, self.scenes = task, scenes_of(task, folder)
        records = stored(folder)
        self.runs = {label(name): records[name, 0] for name, variant in VARIANTS.items()
                     if variant.task == task and (name, 0) in records}
        for n, (title, scores) in enumerate(zip(("the input", "the truth"),
                                                ends_of(task, folder), strict=True)):
            still = {scene: {SHOWN[0]: images[n]} for scene, images in self.scenes.items()}
            self.runs[title] = SimpleNamespace(history=[], scores=scores, pictures=still)
        self.charts = {}

    def step_shown(self, run, scene, step):
        """The last step up to ``step`` (else the first) of which a run has a picture."""
        frames = self.runs[run].pictures[scene]
        return max(n for n in frames if n <= max(step, min(frames)))

    def picture(self, run, scene, step):
        """A run's picture of a scene at :meth:`step_shown`."""
        return self.runs[run].pictures[scene][self.step_shown(run, scene, step)]

    def __call__(self, left, right, scene, step, wipe=0.5):
        """``left`` of the edge at ``wipe`` and ``right`` of it; beside them a part, enlarged."""
        _, clear = self.scenes[scene]
        both = [self.picture(run, scene, step) for run in (left, right)]
        x, y = CROPS[scene]
        parts = [resize_to(image[y:y + CROP, x:x + CROP], 200, 198) for image in both]
        column = np.concatenate([tagged(parts[0], "left"), tagged(parts[1], "right")])
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
            return (name, *(format(end[key], form) if end and key in end else "–" for end in ends))

        decibels = (f"{psnr(x, clear):.1f} dB" if (x != clear).any() else "–" for x in images)
        return [("this picture:", "", ""), ("PSNR", *decibels),
                ("sharpness", *(f"{sharpness(x, clear):.2f}" for x in images)),
                ("all six at the end:", "", ""), row("PSNR", "psnr", ".1f"),
                row("SSIM", "ssim", ".3f"), row("sharpness", "sharpness", ".2f"),
                row("at half size", "sharpness_halved", ".2f")]

    def run(self, name, minutes=1.0, runs=None):
        """Train a variant for some minutes, watch it beside the stored run, and add it here.

        Raises ValueError for a variant of another task, and for an unknown name as
        :func:`helpers.experiments.run`.
        """
        if name in VARIANTS and VARIANTS[name].task != self.task:
            other = VARIANTS[name].task
            raise ValueError(f'{name}: not in this laboratory; use Laboratory("{other}").')
        handle = display(display_id=True)

        def callback(report):
            step = report.history[-1]["step"]
            if handle and step >= SHOWN[0]:
                hazy, now, clear = map(central, report.pictures[0])
                shown = self.step_shown(label(name), FIRST[0], step)
                old = self.picture(label(name), FIRST[0], step)
                figure = grid([[hazy, now, old, clear]],
                              ["input", f"yours, step {step}", f"stored, step {shown}", "truth"])
                figure.suptitle(report.status)
                show(figure, f"{label(name)}: {report.status}", handle=handle)

        record = experiments.run(name, minutes, callback, runs)
        self.runs[f"yours: {label(name)}"] = record
        self.charts.clear()  # a run that went on has longer curves
        return record

    def panel(self, left=None, right=None):
        """The panel, starting at two runs, the first scene and the last step.

        These are by default L1 alone and pix2pix.
        """
        options = list(self.runs)
        usual = ("l1", "pix2pix") if self.task == "fog" else ("haze-l1", "haze-pix2pix")
        left, right = left or label(usual[0]), right or label(usual[1])
        return panel(
            self,
            left=choice("left", options, left), right=choice("right", options, right),
            scene=choice("scene", list(self.scenes)),
            step=steps_slider("step", [(str(step), step) for step in SHOWN]),
            wipe=slider("wipe", 0.5, 0, 1, 0.01),
        )


def label(name):
    """What a variant is called in the panel: its group and its title."""
    return f"{VARIANTS[name].group}: {VARIANTS[name].title}"


def ask(group):
    """The question before a group of variants, see :func:`prediction`. Notebook 06."""
    return prediction(*QUESTIONS[group])


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


def variants_figure(*names, scene=FIRST[0], folder=experiments.STORED):
    """Figure of what stored runs of one task painted of a scene at their end, and of the truth.

    ``names`` are those of variants, or "input"; below each picture a part of it, enlarged.
    Notebook 06.
    """
    records = stored(folder)
    hazy, clear = scenes_of(VARIANTS[names[-1]].task, folder)[scene]
    images = [hazy if name == "input" else records[name, 0].pictures[scene][SHOWN[-1]]
              for name in names]
    titles = [VARIANTS[name].title if name in VARIANTS else name for name in names]
    return zoom([*images, clear], [*titles, "truth"], (*CROPS[scene], CROP, CROP))


def scores_table(*names, folder=experiments.STORED):
    """Lines of text: the scores of stored runs of one task at their end, all seeds. Notebook 06."""
    records, (_, truth) = stored(folder), ends_of(VARIANTS[names[0]].task, folder)
    lines = [f"{'':36} PSNR   SSIM  sharpness  detail"]
    for name in names:
        for seed in sorted(seed for found, seed in records if found == name):
            s = records[name, seed].scores
            title = "   once more, another seed" if seed else VARIANTS[name].title
            lines.append(f"{title:35}{s['psnr']:6.2f}  {s['ssim']:.3f}  {s['sharpness']:9.2f}"
                         f"  {detail(s, truth):6.1%}")
    return "\n".join(lines)


def losses_figure(*names, folder=experiments.STORED):
    """Figure of stored runs: the discriminator's loss and the L1 loss, step by step. Notebook 06.
    """
    records = stored(folder)
    figure, axes = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained")
    for axis, key in zip(axes, ("discriminator", "l1"), strict=True):
        for name, colour in zip(names, plt.get_cmap("Set2").colors, strict=False):
            points = [(h["step"], h[key]) for h in records[name, 0].history if key in h]
            if points:
                axis.plot(*zip(*points, strict=True), color=colour, lw=2.2,
                          label=VARIANTS[name].title)
    axes[0].axhline(LOG2, color=INK, ls=":", lw=1.2)
    axes[0].text(SHOWN[-1], LOG2, "log 2", ha="right", va="bottom")
    axes[0].set(title="Discriminator's loss", xlabel="step", ylim=(0, None))
    axes[1].set(title="L1 loss", xlabel="step")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center",
                  ncols=len(names))
    return figure


def worth_figure(folder=experiments.STORED):
    """Figure of all stored runs: PSNR against sharpness, in thick fog and in ordinary haze.

    A dot is a run; those without an adversary have another colour. Notebooks 06 and 08.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", sharex=True,
                                sharey=True)
    for (name, seed), record in stored(folder).items():
        variant = VARIANTS[name]
        if variant.leak:
            continue
        alone = not variant.changes.get("adversarial", True)
        at = record.scores["sharpness"], record.scores["psnr"]
        axis = axes[int(variant.task == "haze")]
        axis.plot(*at, "o", color=L1 if alone else GENERATOR, ms=7)
        if name in NAMED and not seed:
            text, *offset = NAMED[name]
            axis.annotate(text, at, textcoords="offset points", xytext=offset)
    for axis, title in zip(axes, ("Thick fog", "Ordinary haze"), strict=True):
        axis.axvline(1, color=INK, ls=":", lw=1)
        axis.set(title=title, xlabel="sharpness (1: as the truth)", xlim=(0.2, 1.1), ylim=(9, 20))
    axes[0].set_ylabel("PSNR in dB")
    return figure
