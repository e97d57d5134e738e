"""The two networks: a U-Net generator and a PatchGAN discriminator.

Images are RGB in [-1, 1], shape (batch, height, width, 3). Taught in notebooks 04 and 08.
"""

import contextlib
from unittest import mock

import keras
import tensorflow as tf
from keras import layers

from helpers.encoder import efficientnet_lite0

# The networks that give maps K and B: these see a whole image, any other one goes over it in tiles.
PHYSICS = ("physics_unet", "physics_efficientnet")


def normal():
    """Initial weights: Gaussian, standard deviation 0.02. Isola et al. 2017, section 6.2."""
    return keras.initializers.RandomNormal(stddev=0.02)


def encoder_block(x, filters, norm=True):
    """Halve height and width: 4×4 convolution of stride 2, batch normalisation, leaky ReLU.

    The running statistics have momentum 0.9, for Keras' default of 0.99 remembers a hundred steps,
    in which the weights have become others. (batch, h, w, c) becomes (batch, h/2, w/2, filters).
    Isola et al. 2017, section 6.1; notebook 04.
    """
    x = layers.Conv2D(
        filters, 4, strides=2, padding="same", use_bias=False, kernel_initializer=normal()
    )(x)
    if norm:
        x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.LeakyReLU(0.2)(x)


def decoder_block(x, filters, dropout=0.0):
    """Double height and width: 4×4 transposed convolution, batch normalisation, dropout, ReLU.

    (batch, h, w, c) becomes (batch, 2h, 2w, filters). Isola et al. 2017, section 6.1; notebook 04.
    """
    x = layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", use_bias=False, kernel_initializer=normal()
    )(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    return layers.ReLU()(x)


def unet(width=64, levels=8, skips=True, classic=False, dropout=0.5):
    """U-Net generator: hazy image to clear image, both RGB in [-1, 1], one size.

    Height and width must be multiples of 2**levels. ``width`` is the first layer's number of
    filters; it doubles up to 8 * width. ``skips`` joins each encoder level to the decoder level of
    its size, and adds the input to the output (which may then leave [-1, 1] a little).
    ``classic=True`` is the paper's network: it paints the whole output, and normalises the
    bottleneck. ``dropout`` is the part of the features that the three deepest decoder levels drop
    while training. Ronneberger et al. 2015, Isola et al. 2017, section 6.1.1; notebook 04.
    """
    filters = [width * min(2**i, 8) for i in range(levels)]
    image = keras.Input((None, None, 3), name="hazy")
    x, features = image, []
    for i in range(levels):
        outermost, innermost = i == 0, i == levels - 1
        x = encoder_block(x, filters[i], norm=not outermost and (not innermost or classic))
        features.append(x)
    for i in reversed(range(levels - 1)):
        x = decoder_block(x, filters[i], dropout=dropout if i >= levels - 4 else 0.0)
        if skips:
            x = layers.Concatenate()([x, features[i]])
    clear = layers.Conv2DTranspose(
        3, 4, strides=2, padding="same", activation="tanh", kernel_initializer=normal(),
        dtype="float32",
    )(x)
    if skips and not classic:
        clear = layers.Add(dtype="float32")([image, clear])
    return keras.Model(image, clear, name="generator")


def plain_encoder_block(x, filters):
    """Halve height and width: 4×4 convolution of stride 2, ReLU, and no normalisation.

    (batch, h, w, c) becomes (batch, h/2, w/2, filters). Notebook 08.
    """
    x = layers.Conv2D(filters, 4, strides=2, padding="same", kernel_initializer="he_normal")(x)
    return layers.ReLU()(x)


def resize_block(x, filters):
    """Double height and width: repeat the pixels, then a 3×3 convolution and ReLU.

    All output pixels share one kernel, so a flat area stays flat; a transposed convolution has
    other weights for odd pixels than for even ones, which gives checkerboards. (batch, h, w, c)
    becomes (batch, 2h, 2w, filters). Odena, Dumoulin and Olah 2016; notebook 08.
    """
    x = layers.UpSampling2D()(x)
    x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x)
    return layers.ReLU()(x)


def residual_block(x, filters):
    """Add two 3×3 convolutions to their input, which must have ``filters`` channels.

    The second starts at zero: the block begins as the identity, and needs no normalisation. He et
    al. 2016; Zhang, Dauphin and Ma 2019 ("Fixup"); notebook 08.
    """
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x)
    y = layers.ReLU()(y)
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.Add()([x, y])


def physics_head(image, x):
    """The output as physics: maps K and B from features at half size, and J = K·I - B + I.

    ``image`` is I in [-1, 1], (batch, h, w, 3), ``x`` features (batch, h/2, w/2, c). K and B,
    three channels each, are for values in [0, 1]: by the scattering model K = 1/t - 1 and
    B = A·K. They start at zero, J = I. After Li et al. 2017 ("AOD-Net", eq. 4), with two maps in
    place of one; notebook 08.
    """
    maps = layers.Conv2D(
        6, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="maps"
    )(x)
    maps = layers.UpSampling2D(interpolation="bilinear", dtype="float32")(maps)
    return image + maps[..., :3] * (image + 1) - 2 * maps[..., 3:]


def physics_unet(filters=(32, 64, 128, 160, 160, 160), blocks=(0, 1, 2, 2, 2, 2)):
    """A U-Net without normalisation whose output is K and B of the haze: a row of the chain of 08.

    ``filters`` are those of each level, ``blocks`` its residual blocks, on the way down and on
    the way up. Height and width must be multiples of 2**levels. At the bottom the mean over the
    whole image is added to every place, for airlight and exposure are the same everywhere. Image
    in and out: RGB in [-1, 1], one size; the layer "maps" gives K and B at half size. Notebook 08.
    """
    image = keras.Input((None, None, 3), name="hazy")
    x, features = image, []
    for level, count in zip(filters, blocks, strict=True):
        x = plain_encoder_block(x, level)
        for _ in range(count):
            x = residual_block(x, level)
        features.append(x)
    everywhere = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Add()([x, layers.Conv2D(filters[-1], 1)(everywhere)])
    for level, count, skip in list(zip(filters, blocks, features, strict=True))[-2::-1]:
        x = resize_block(x, level)
        x = layers.Concatenate()([x, skip])
        x = layers.Conv2D(level, 3, padding="same", kernel_initializer="he_normal")(x)
        x = layers.ReLU()(x)
        for _ in range(count):
            x = residual_block(x, level)
    return keras.Model(image, physics_head(image, x), name="generator")


def physics_efficientnet(filters=(48, 96, 128, 160), blocks=(1, 2, 2, 2)):
    """The improved generator: K and B of the haze, from features that were learned elsewhere.

    On the way down EfficientNet-Lite0 (:func:`helpers.encoder.efficientnet_lite0`), which has seen
    a million photographs; ``filters`` and residual ``blocks`` are those of the way up, the level
    at half size first. The rest is that of :func:`physics_unet`: at the bottom the mean over the
    whole image is added to every place, and the head is K and B. Before each enlargement a 1×1
    convolution thins the channels out, so that none has to follow it. Height and width must be
    multiples of 32. Image in and out: RGB in [-1, 1], one size. Notebook 08.
    """
    image = keras.Input((None, None, 3), name="hazy")
    *features, x = efficientnet_lite0(image)
    everywhere = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Add()([x, layers.Conv2D(x.shape[-1], 1)(everywhere)])
    for level, count, skip in list(zip(filters, blocks, features, strict=True))[::-1]:
        x = layers.Conv2D(level, 1, kernel_initializer="he_normal")(x)
        x = layers.Concatenate()([layers.UpSampling2D()(x), skip])
        x = layers.Conv2D(level, 3, padding="same", kernel_initializer="he_normal")(x)
        x = layers.ReLU()(x)
        for _ in range(count):
            x = residual_block(x, level)
    return keras.Model(image, physics_head(image, x), name="generator")


def patchgan(width=64, conditional=True):
    """PatchGAN discriminator: (hazy, image) to one logit per overlapping 70×70 patch.

    Both inputs are RGB in [-1, 1]; 256×256 pixels give logits (batch, 30, 30, 1), above 0 for
    "real". ``conditional=False`` ignores the hazy image and judges the other alone. Isola et al.
    2017, section 6.1.2; notebook 04.
    """
    hazy = keras.Input((None, None, 3), name="hazy")
    image = keras.Input((None, None, 3), name="image")
    # Times 0, for Keras before 3.14 refuses an input that is not used.
    x = layers.Concatenate()([hazy, image]) if conditional else image + 0 * hazy
    x = encoder_block(x, width, norm=False)
    x = encoder_block(x, 2 * width)
    x = encoder_block(x, 4 * width)
    x = layers.ZeroPadding2D()(x)
    x = layers.Conv2D(8 * width, 4, use_bias=False, kernel_initializer=normal())(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.ZeroPadding2D()(x)
    logits = layers.Conv2D(1, 4, kernel_initializer=normal(), dtype="float32")(x)
    return keras.Model([hazy, image], logits, name="discriminator")


def size_multiple(generator):
    """What a generator's height and width must be multiples of: 2 for each halving. Notebook 09."""
    halving = layers.Conv2D, layers.DepthwiseConv2D
    return 2 ** sum(getattr(layer, "strides", None) == (2, 2) and isinstance(layer, halving)
                    for layer in generator.layers)


def sees_whole_images(generator):
    """True for a network whose ``architecture`` names one of :data:`PHYSICS`."""
    return getattr(generator, "architecture", {}).get("network") in PHYSICS


def receptive_field(kernels_and_strides):
    """Side, in input pixels, of what one output of a stack of convolutions can see.

    ``kernels_and_strides`` lists (kernel, stride) from input to output. Notebook 04.
    """
    side = 1
    for kernel, stride in reversed(kernels_and_strides):
        side = (side - 1) * stride + kernel
    return side


def compiled(network):
    """A network in inference mode as one TensorFlow graph: a batch in [-1, 1] to its output.

    A generator that :func:`sees_whole_images` gives its maps K and B for images of any size, any
    other works on tiles of 256×256 pixels. The graph is traced once and stays
    with the network. It reads the weights each time it runs, so that a network in training is used
    as it stands. About 1.6 times as fast as layer by layer. Notebook 07.
    """
    if not hasattr(network, "_graph"):
        inner, side = network, 256
        if sees_whole_images(network):
            inner, side = keras.Model(network.input, network.get_layer("maps").output), None
        images = tf.TensorSpec((None, side, side, 3), tf.float32)
        run = tf.function(lambda x: inner(x, training=False), [images], autograph=False)
        with _quick_painting(inner):
            network._graph = run.get_concrete_function()
    return network._graph


@contextlib.contextmanager
def _quick_painting(network):
    """While a graph is traced, the U-Net's last layer is written as an ordinary convolution.

    A 4×4 transposed convolution of stride 2 to 3 channels leaves most of the processor's vectors
    empty, and takes a sixth of the U-Net's time. The same numbers come from a 2×2 convolution to
    12 channels, those of 4 pixels, which are then laid side by side. Shi et al. 2016.
    """
    def call(x):
        kernel = tf.reshape(tf.convert_to_tensor(paint.kernel), (2, 2, 2, 2, 3, -1))[::-1, :, ::-1]
        kernel = tf.reshape(tf.transpose(kernel, (0, 2, 5, 1, 3, 4)), (2, 2, -1, 12))
        x = tf.nn.conv2d(x, kernel, 1, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return paint.activation(tf.nn.depth_to_space(x, 2)[:, 1:-1, 1:-1] + paint.bias)

    last = [layer for layer in getattr(network, "layers", [])[-2:]
            if isinstance(layer, layers.Conv2DTranspose)]
    with contextlib.ExitStack() as stack:
        for paint in last:
            stack.enter_context(mock.patch.object(paint, "call", call))
        yield
