"""Random changes of an image and its target alike, for training."""

from dataclasses import dataclass

from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

_Pair = tuple[tv_tensors.Image, tv_tensors.Mask]


@dataclass(frozen=True)
class TrainingTransform:
    """What `training_transform` gives; ``crop`` is (height, width)."""

    crop: tuple[int, int]
    flip: bool

    def __call__(self, image: tv_tensors.Image, target: tv_tensors.Mask) -> _Pair:
        image, target = enlarge_to(self.crop, image, target)
        image, target = v2.RandomCrop(self.crop)(image, target)
        return v2.RandomHorizontalFlip(0.5 if self.flip else 0.0)(image, target)


def training_transform(crop: int | tuple[int, int], flip: bool = True) -> TrainingTransform:
    """Cut a random window ``crop`` (height, width), or a square, and mirror half of them; torch's
    global generator draws. A smaller image is first enlarged, its aspect kept (section 4.1)."""
    height, width = (crop, crop) if isinstance(crop, int) else crop
    if height < 1 or width < 1:
        raise ValueError(f"crop={crop} must be a number of pixels from 1, or (height, width).")
    return TrainingTransform((height, width), flip)


def enlarge_to(size: tuple[int, int], image: tv_tensors.Image, target: tv_tensors.Mask) -> _Pair:
    """Scale both up, aspect kept, until no side is shorter than in ``size`` (height, width)."""
    height, width = F.get_size(image)
    scale = max(size[0] / height, size[1] / width)
    if scale <= 1:  # large enough
        return image, target
    enlarged = [round(height * scale), round(width * scale)]
    return F.resize(image, enlarged), F.resize(target, enlarged)
