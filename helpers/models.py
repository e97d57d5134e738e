"""The two networks: a U-Net generator and a PatchGAN discriminator.

Keras layers only, so that every Keras backend runs them. Images are RGB in [-1, 1], shape
(batch, height, width, 3). Taught in notebook 02.
"""

import keras
from keras import layers


def normal():
    """Initial weights: Gaussian, standard deviation 0.02. Isola et al. 2017, section 6.2."""
    return keras.initializers.RandomNormal(stddev=0.02)


def encoder_block(x, filters, norm=True):
    """Halve height and width: 4×4 convolution of stride 2, batch normalisation, leaky ReLU.

    (batch, h, w, c) becomes (batch, h/2, w/2, filters). Isola et al. 2017, section 6.1;
    notebook 02.
    """
    x = layers.Conv2D(
        filters, 4, strides=2, padding="same", use_bias=False, kernel_initializer=normal()
    )(x)
    if norm:
        x = layers.BatchNormalization()(x)
    return layers.LeakyReLU(0.2)(x)


def decoder_block(x, filters, dropout=0.0):
    """Double height and width: 4×4 transposed convolution, batch normalisation, dropout, ReLU.

    (batch, h, w, c) becomes (batch, 2h, 2w, filters). Isola et al. 2017, section 6.1; notebook 02.
    """
    x = layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", use_bias=False, kernel_initializer=normal()
    )(x)
    x = layers.BatchNormalization()(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    return layers.ReLU()(x)


def unet(width=64, levels=8, skips=True, classic=False):
    """U-Net generator: hazy image to clear image, both RGB in [-1, 1], one size.

    Height and width must be multiples of 2**levels. ``width`` is the first layer's number of
    filters; it doubles up to 8 * width. ``skips`` joins each encoder level to the decoder level of
    its size, and adds the input to the output (which may then leave [-1, 1] a little).
    ``classic=True`` is the paper's network: it paints the whole output, and normalises the
    bottleneck. Ronneberger et al. 2015, Isola et al. 2017, section 6.1.1; notebook 02.
    """
    filters = [width * min(2**i, 8) for i in range(levels)]
    image = keras.Input((None, None, 3), name="hazy")
    x, features = image, []
    for i in range(levels):
        outermost, innermost = i == 0, i == levels - 1
        x = encoder_block(x, filters[i], norm=not outermost and (not innermost or classic))
        features.append(x)
    for i in reversed(range(levels - 1)):
        x = decoder_block(x, filters[i], dropout=0.5 if i >= levels - 4 else 0.0)
        if skips:
            x = layers.Concatenate()([x, features[i]])
    clear = layers.Conv2DTranspose(
        3, 4, strides=2, padding="same", activation="tanh", kernel_initializer=normal(),
        dtype="float32",
    )(x)
    if skips and not classic:
        clear = layers.Add(dtype="float32")([image, clear])
    return keras.Model(image, clear, name="generator")


def patchgan(width=64, conditional=True):
    """PatchGAN discriminator: (hazy, image) to one logit per overlapping 70×70 patch.

    Both inputs are RGB in [-1, 1]; 256×256 pixels give logits (batch, 30, 30, 1), above 0 for
    «real». ``conditional=False`` ignores the hazy image and judges the other alone. Isola et al.
    2017, section 6.1.2; notebook 02.
    """
    hazy = keras.Input((None, None, 3), name="hazy")
    image = keras.Input((None, None, 3), name="image")
    x = layers.Concatenate()([hazy, image]) if conditional else image
    x = encoder_block(x, width, norm=False)
    x = encoder_block(x, 2 * width)
    x = encoder_block(x, 4 * width)
    x = layers.ZeroPadding2D()(x)
    x = layers.Conv2D(8 * width, 4, use_bias=False, kernel_initializer=normal())(x)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.2)(x)
    x = layers.ZeroPadding2D()(x)
    logits = layers.Conv2D(1, 4, kernel_initializer=normal(), dtype="float32")(x)
    return keras.Model([hazy, image], logits, name="discriminator")


PATCHGAN_LAYERS = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]


def receptive_field(kernels_and_strides):
    """Side, in input pixels, of what one output of a stack of convolutions can see.

    ``kernels_and_strides`` lists (kernel, stride) from input to output. Notebook 02.
    """
    side = 1
    for kernel, stride in reversed(kernels_and_strides):
        side = (side - 1) * stride + kernel
    return side
