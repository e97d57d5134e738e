"""The shared module of the dehazing notebooks. A module imports only from those above it:

env, haze, metrics, layouts, pairs, images, data, synthesis, models, losses, runs, training,
checkup, inference, folder, trainer, command, viz, lab, widgets, checks.

Those that are started from the command line, inference and training, hand over to folder and
command.
"""
