"""What fine-tuning at the thesis's size takes, with random weights, and what its 50 runs would.

    python benchmarks/fine_tuning.py --out training.json

A training step of the thesis's profile is timed in each precision; a run is all its steps. Reading
the images is not in it.
"""

import torch
import yaml
from network import precisions, speed
from report import Row, in_new_process, parser, report

from ood_lib.data import DATASETS
from ood_lib.settings import PROFILE_FOLDER

RUNS = 50
SCENES = DATASETS["cityscapes"].splits["train"]
"""Street scenes in the train set of Cityscapes."""


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--small", action="store_true", help="the miniature network")
    options = command_line.parse_args()
    # Only numbers are asked: the settings themselves would ask for the data.
    thesis = yaml.safe_load((PROFILE_FOLDER / "thesis.yml").read_text("utf-8"))
    model, crop = thesis["model"], thesis["crop"]
    if options.small:
        model, crop = "deeplabv3plus_miniature", 64
    images = round(SCENES * (1 + thesis["proxy_fraction"]))
    steps = thesis["epochs"] * -(-images // thesis["batch_size"])
    shape = (thesis["batch_size"], 3, crop, crop)
    rows: list[Row] = [("steps of a run", steps, "")]
    for precision in precisions():
        taken, memory = in_new_process(
            speed, "training", model, shape, precision, 1 if options.small else 20
        )
        rows += [
            (f"training step, {precision}", 1000 * taken, "ms"),
            (f"training step, {precision}, memory", memory, "GB"),
            (f"one run, {precision}", taken * steps / 60, "min"),
            (f"{RUNS} runs, {precision}", taken * steps * RUNS / 3600, "h"),
        ]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    settings = {name: thesis[name] for name in ("batch_size", "epochs")}
    settings |= {"model": model, "crop": crop}
    report(rows, ["torch"], settings | {"threads": torch.get_num_threads()}, options.out, device)


if __name__ == "__main__":
    main()
