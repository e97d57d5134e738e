"""The shared module of the dehazing notebooks. A module imports only from those above it:

env, haze, metrics, layouts, pairs, images, copies, data, synthesis, models, losses, runs, training,
checkup, survey, inference, export, folder, trainer, command, viz, draw, lab, photo, render,
widgets, checks.

Those that are started from the command line, inference and training, hand over to folder and
command; survey prints its report by itself.
"""
