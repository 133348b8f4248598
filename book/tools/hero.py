"""Make the picture of the landing page and the README, ``book/_static/hero.png``.

    python book/tools/hero.py

A test frame with something unknown on the road, the classes that the closed-set network sees there, and the score map
after entropy maximization; all with the settings of the miniature profile.
"""

import argparse
from pathlib import Path

from ood_lib.closed_set import closed_set_network
from ood_lib.data import SegmentationDataset, training_transform
from ood_lib.figures import color_classes, panels, use_style
from ood_lib.files import atomic_path
from ood_lib.inference import predict
from ood_lib.profiles import load_settings
from ood_lib.training import fine_tune

TITLES = ("what the camera sees", "what nineteen classes make of it", "after learning to be uncertain")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sequence", type=int, default=2, help="which sequence of LostAndFound test")
    parser.add_argument("--out", type=Path, default=Path("book/_static/hero.png"))
    options = parser.parse_args()
    use_style()
    settings = load_settings()
    frames = settings.open("lost_and_found", "test")
    sequences = sorted({frame.sequence for frame in frames.frames})
    closest = [i for i, f in enumerate(frames.frames) if f.sequence == sequences[options.sequence]][-1]
    frames.frames = [frames.frames[closest]]
    model = closed_set_network(settings)
    before = next(predict(model, frames, progress=False))
    fine_tune(
        model,
        cropped(settings.open("cityscapes", "train").take(settings.num_in_distribution), settings.crop),
        cropped(settings.open("coco_proxy", max_ood_share=settings.max_ood_share), settings.crop),
        lambda_=settings.lambda_,
        epochs=settings.epochs,
        proxy_fraction=settings.proxy_fraction,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )
    after = next(predict(model, frames, progress=False))
    figure = panels([[frames[0].image, color_classes(before.prediction), after.score]], TITLES, "entropy", width=13)
    with atomic_path(options.out) as aside:
        figure.savefig(aside, dpi=110)


def cropped(dataset: SegmentationDataset, crop: tuple[int, int]) -> SegmentationDataset:
    dataset.transform = training_transform(crop)
    return dataset


if __name__ == "__main__":
    main()
