"""Make the picture of the landing page and the README, ``book/_static/hero.png``.

    python book/tools/hero.py

A test frame with something unknown on the road, the classes that the closed-set network sees there,
and the score map after entropy maximization; all with the settings of the miniature profile.
"""

import argparse
from pathlib import Path

from ood_lib.figures import color_classes, panels, use_style
from ood_lib.files import atomic_path
from ood_lib.inference import predict
from ood_lib.settings import load_settings
from ood_lib.training import closed_set_network, fine_tuned_network

TITLES = (
    "what the camera sees",
    "what nineteen classes make of it",
    "after learning to be uncertain",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sequence", type=int, default=2, help="which one of LostAndFound test")
    parser.add_argument("--out", type=Path, default=Path("book/_static/hero.png"))
    options = parser.parse_args()
    use_style()
    settings = load_settings()
    frames = settings.open("lost_and_found", "test")
    name = sorted({frame.sequence for frame in frames.frames})[options.sequence]
    # Of a drive towards an obstacle the last frame shows it from the shortest distance.
    frames.frames = [frame for frame in frames.frames if frame.sequence == name][-1:]
    network = closed_set_network(settings)
    before = next(predict(network, frames, progress=False))
    fine_tuned_network(settings, network)
    after = next(predict(network, frames, progress=False))
    row = [frames[0].image, color_classes(before.prediction), after.score]
    figure = panels([row], TITLES, "entropy", width=13)
    with atomic_path(options.out) as aside:
        figure.savefig(aside, dpi=110)


if __name__ == "__main__":
    main()
