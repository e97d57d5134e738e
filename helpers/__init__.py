"""The shared module of the dehazing notebooks. A module imports only from those above it:

env, haze, images, pairs, data, synthesis, encoder, models, losses, metrics, weights, inference,
checkup, runs, training, experiments, export, viz, panels.drawing, panels.widgets, panels.photo,
panels.haze, panels.toy, panels.networks, panels.laboratory, panels.evaluation, panels.shipping,
checks.
"""

import os

# TensorFlow reads these when it is imported. It leaves oneDNN's kernels off on CPUs without
# AVX-512, and a training step is faster with them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
