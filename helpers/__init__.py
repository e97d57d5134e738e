"""The shared module of the dehazing notebooks. A module imports only from those above it:

env, haze, metrics, pairs, images, data, synthesis, models, losses, runs, training, inference,
folder, viz, widgets, checks.
"""
