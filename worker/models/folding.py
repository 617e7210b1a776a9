"""Networks made ready to predict: everything that is a constant factor or summand is multiplied into the layers.

What comes of it can only predict, and gives what the network gives, to float32's rounding. Folded are, all of it exact:

- Batch norm into the convolution before it, or into the 1x1 convolution behind it (Jacob et al., "Quantization and
  Training of Neural Networks", 2018, section 3.2), in float64: running variances reach millions.
- The encoder's normalisation into its first convolution, and its three equal planes into one.
- A power of two that keeps the encoder's activations, which reach 17,555 on photographs, far from float16's 65,504.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from photochrom.worker.models.autoencoder import Autoencoder
from photochrom.worker.models.checkpoint import Network
from photochrom.worker.models.forms import CENTRE, AutoencoderForm, DistributionForm, Form, Layer, Layers, ResidualForm
from photochrom.worker.models.vgg_yuv import DistributionDecoder, ResidualDecoder, Vgg16Encoder

WIDE_SCALE = 2.0**-6
"""Of the activations of an encoder that was trained on 0..255. ReLU and pooling let any positive factor through."""


def folded(network: Network) -> tuple[Form, Layers]:
    """A trained network's form and layers; the network, in evaluation mode on the CPU, stays as it is."""
    with torch.no_grad():
        if isinstance(network, Autoencoder):
            return AutoencoderForm(network), _autoencoder_layers(network)
        encoder, scale = _encoder_layers(network.encoder), _scale(network.encoder)
        if isinstance(network.decoder, ResidualDecoder):
            return ResidualForm(network, list(encoder)), encoder | _residual_layers(network.decoder, scale)
        return DistributionForm(network, list(encoder)), encoder | _distribution_layers(network.decoder, scale)


def _encoder_layers(encoder: Vgg16Encoder) -> Layers:
    """From gray and ones to activations times `_scale`, by the convolutions' names: conv1_1, conv1_2, conv2_1, ..."""
    factor = encoder.range / 255 / encoder.deviation.double()
    shift = factor * CENTRE - encoder.mean / encoder.deviation
    scale = _scale(encoder)
    layers: Layers = {}
    block, number = 1, 1
    for module in encoder.features:
        if isinstance(module, nn.MaxPool2d):
            block, number = block + 1, 1
        if isinstance(module, nn.Conv2d):
            weight, bias = _weights(module)
            weight = weight if layers else scale * _of_gray_and_ones(weight, factor, shift)
            layers[f"conv{block}_{number}"] = _layer(weight, scale * bias, relu=True)
            number += 1
    return layers


def _scale(encoder: Vgg16Encoder) -> float:
    return WIDE_SCALE if encoder.range > 1 else 1.0


def _of_gray_and_ones(weight: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """A kernel (out, c, k, k) on planes `factor * gray + shift`, each (1, c, 1, 1), to one (out, 2, k, k) on two."""
    return torch.stack([(weight * factor).sum(1), (weight * shift).sum(1)], 1)


def _distribution_layers(decoder: DistributionDecoder, scale: float) -> Layers:
    layers = {"to_bins": _layer(*_weights(decoder.to_bins))}
    for number, tap in ((5, "conv5_3"), (4, "conv4_3"), (3, "conv3_3")):
        lateral, (convolution, norm, _) = getattr(decoder, f"lateral{number}"), getattr(decoder, f"conv{number}")
        layers[f"lateral{number}"] = _behind_norm(decoder.norms[tap], lateral, scale)
        layers[f"conv{number}"] = _before_norm(convolution, norm, relu=True)
    return layers


def _residual_layers(decoder: ResidualDecoder, scale: float) -> Layers:
    layers = {"conv4": _behind_norm(decoder.norms["conv4_3"], decoder.conv4[0], scale, relu=True)}
    for tap in ("conv3_3", "conv2_2", "conv1_2"):
        factor, shift = _affine(decoder.norms[tap])
        layers[f"norm {tap}"] = _layer(factor / scale, shift)
    for name in ("conv3", "conv2", "conv1", "conv0"):
        convolution, norm, _ = getattr(decoder, name)
        layers[name] = _before_norm(convolution, norm, relu=True)
    factor, shift = _affine(decoder.norm_gray)
    weight = torch.stack([factor / 255, factor * CENTRE / 255 + shift], 1)
    layers["norm gray"] = _layer(weight.view(-1, 2, 1, 1), torch.zeros(len(weight)))
    convolution, norm, _ = decoder.conv_uv
    return layers | {"conv_uv": _before_norm(convolution, norm, relu=False)}


def _autoencoder_layers(network: Autoencoder) -> Layers:
    weight, bias = _weights(network.conv1)
    weight = _of_gray_and_ones(weight, torch.tensor(1 / 255), torch.tensor(CENTRE / 255))
    layers = {"conv1": _layer(weight, bias, relu=True)}
    for name in ("conv2", "squeeze", "expand", "conv3"):
        layers[name] = _layer(*_weights(getattr(network, name)), relu=True)
    return layers | {"conv4": _layer(*_weights(network.conv4))}


def _layer(weight: Tensor, bias: Tensor, *, relu: bool = False) -> Layer:
    return Layer(weight.float(), bias.float(), relu)


def _weights(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Of a convolution or a matrix, float64; zeros where it has no bias."""
    tensors = module.state_dict()
    weight = tensors["weight"].double()
    return weight, tensors["bias"].double() if "bias" in tensors else weight.new_zeros(len(weight))


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch norm's factor and summand by channel, float64."""
    weight, bias = _weights(norm)
    tensors = norm.state_dict()
    factor = weight / (tensors["running_var"].double() + cast(nn.BatchNorm2d, norm).eps).sqrt()
    return factor, bias - factor * tensors["running_mean"].double()


def _before_norm(convolution: nn.Module, norm: nn.Module, *, relu: bool) -> Layer:
    """A convolution and the norm behind it."""
    (weight, bias), (factor, shift) = _weights(convolution), _affine(norm)
    return _layer(weight * factor.view(-1, 1, 1, 1), bias * factor + shift, relu=relu)


def _behind_norm(norm: nn.Module, convolution: nn.Module, scale: float, *, relu: bool = False) -> Layer:
    """A 1x1 convolution and the norm before it, whose input is `scale` times what it was."""
    (weight, bias), (factor, shift) = _weights(convolution), _affine(norm)
    bias = bias + (weight * shift.view(1, -1, 1, 1)).sum((1, 2, 3))
    return _layer(weight * factor.view(1, -1, 1, 1) / scale, bias, relu=relu)
