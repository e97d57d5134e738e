"""The shared module of the dehazing notebooks. A module imports only from those above it:

env, haze, metrics, pairs, data, models, losses, runs, training, checkup, inference, viz, widgets,
checks.
"""
