"""DenseNet121 for grey X-rays: Keras' own backbone, with names and inputs as the rest of the platform has them."""

from __future__ import annotations

import keras
from keras import layers

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.network_options import DenseNetOptions
from cxr_tasks.train.networks.blocks import FEATURES_LAYER, HEAD_LAYER

#: Mean and deviation of ImageNet's red, green and blue on [0, 1]: what published weights were trained on
#: (``keras.applications.densenet.preprocess_input``).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
#: The last features are 2x2 then; of fewer a heat map says nothing.
SMALLEST_SIZE_PX = 64


def densenet121(size_px: int, n_findings: int, options: DenseNetOptions) -> keras.Model:
    """DenseNet121 (Huang et al., CVPR 2017): grey is given to all three channels and scaled as ImageNet's images were.

    At 224 px ``features`` is 7x7x1024. All layers lie flat in one graph, under the names of ``keras.applications``,
    so weights can be matched by layer name.

    Raises:
        ConfigurationError: ``size_px`` is below ``SMALLEST_SIZE_PX``.
    """
    if size_px < SMALLEST_SIZE_PX:
        raise ConfigurationError(f"densenet121: expected pixels.size_px from {SMALLEST_SIZE_PX} up, found {size_px}")
    image = keras.Input((size_px, size_px, 1), name="image")
    # In float32 whatever the policy: bfloat16 has 8 bits of precision, which would round greys before they are scaled.
    colour = layers.Concatenate(name="grey_to_colour", dtype="float32")([image, image, image])
    scaled = layers.Normalization(
        mean=IMAGENET_MEAN,
        variance=[deviation**2 for deviation in IMAGENET_DEVIATION],
        name="standardise",
        dtype="float32",
    )(colour)
    backbone = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=scaled)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = options.batch_norm_momentum
    # Keras' own last activation is called "relu"; one of ours takes its place, by the name that heat maps look for.
    x = layers.Activation("relu", name=FEATURES_LAYER)(backbone.get_layer("bn").output)
    x = layers.GlobalAveragePooling2D(name="pool", dtype="float32")(x)
    if options.dropout:
        x = layers.Dropout(options.dropout, name="dropout", dtype="float32")(x)
    logits = layers.Dense(n_findings, name=HEAD_LAYER, dtype="float32")(x)
    return keras.Model(image, logits, name="densenet121")
