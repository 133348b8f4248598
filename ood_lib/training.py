"""Entropy maximization (Chan et al. 2021; thesis, section 3.2): the objective, and fine-tuning with it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX
from ood_lib.data.sample import Sample, SegmentationDataset, collate
from ood_lib.training_state import TrainingState, checkpoint_file, describe_dataset, weights_digest


def entropy_maximization_loss(
    logits: Tensor,
    target: Tensor,
    lambda_: float = 0.9,
    ood_index: int = OOD_INDEX,
    ignore_index: int = IGNORE_INDEX,
) -> Tensor:
    """The objective of equations 3.3-3.5 for a batch that mixes street scenes and proxy images; a scalar.

    ``logits`` are (N, C, H, W), ``target`` is an integer (N, H, W). A pixel of class c < C adds
    (1 - lambda) (-log p_c), a pixel with ``ood_index`` adds lambda times the mean of -log p over all classes, which is
    least where the entropy is greatest (equation 3.6), and a pixel with ``ignore_index`` adds nothing. The sum is
    divided by all H W pixels and averaged over the images. Raises ValueError for any other target value, for shapes
    that do not match, and for a lambda outside [0, 1].
    """
    num_classes = logits.shape[1]
    _require_share("lambda_", lambda_)
    if target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"The logits {tuple(logits.shape)} need a target (N, H, W), not {tuple(target.shape)}.")
    target = target.long()
    is_ood, is_ignored = target == ood_index, target == ignore_index
    is_class = (target >= 0) & (target < num_classes)
    if not (is_class | is_ood | is_ignored).all():
        unknown = target[~(is_class | is_ood | is_ignored)].unique().tolist()
        raise ValueError(
            f"The target holds {unknown}; a pixel must be a class from 0 to {num_classes - 1}, "
            f"{ood_index} (out-of-distribution) or {ignore_index} (ignored)."
        )
    log_p = F.log_softmax(logits.float(), dim=1)
    in_loss = F.nll_loss(log_p, target.masked_fill(is_ood, ignore_index), ignore_index=ignore_index, reduction="none")
    out_loss = -log_p.mean(dim=1).masked_fill(~is_ood, 0)
    return ((1 - lambda_) * in_loss + lambda_ * out_loss).mean()


@dataclass(frozen=True)
class FineTuneResult:
    """What `fine_tune` did; the network itself was changed in place."""

    losses: pd.DataFrame
    """One row for each step: epoch and step, both from 0, and the loss."""
    proxy_ids: list[list[str]]
    """For each epoch the ids of the proxy images it used."""
    seed: int


def fine_tune(
    model: nn.Module,
    in_distribution: SegmentationDataset,
    proxy: SegmentationDataset,
    *,
    lambda_: float = 0.9,
    epochs: int = 4,
    proxy_fraction: float = 0.1,
    batch_size: int = 8,
    learning_rate: float = 1e-5,
    seed: int = 0,
    num_workers: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> FineTuneResult:
    """Train the network on to be uncertain about proxy objects and certain about street scenes (section 4.1).

    Each epoch shuffles all in-distribution images with ``proxy_fraction`` times as many proxy images, drawn afresh,
    and takes one Adam step for each batch. The data sets crop by their own transform. Every draw - which proxy images,
    the order, the crops, dropout - follows from ``seed``, whatever was drawn before. The statistics of batch
    normalisation stay as they are, since they describe streets and not proxy images; its scales and shifts are trained.

    With ``checkpoint``, a file to be, the state is kept after every epoch: the same call goes on from there after an
    interruption, with the result it would have had, and returns at once if all is done. A file of other settings is
    refused with ValueError. If ``checkpoint`` is a folder, the file in it is named by the settings, the place of the
    images and the library's code, so that equal calls share one, in whichever notebook. If the call fails, the network
    has the weights it had before.
    Raises FloatingPointError if the loss is no longer a number.
    """
    _require_share("lambda_", lambda_)
    num_proxy = _number_of_proxy_images(proxy_fraction, in_distribution, proxy)
    settings = {
        "lambda_": lambda_, "epochs": epochs, "proxy_fraction": proxy_fraction, "batch_size": batch_size,
        "learning_rate": learning_rate, "seed": seed, "in_distribution": describe_dataset(in_distribution),
        "proxy": describe_dataset(proxy), "starting weights": weights_digest(model.state_dict()),
    }  # fmt: skip
    checkpoint = checkpoint_file(checkpoint, settings, (in_distribution, proxy))
    accelerator = Accelerator(mixed_precision=mixed_precision())
    with _unchanged_on_failure(model):
        wrapped, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=learning_rate))
        state = TrainingState.resume(checkpoint, settings, model, optimizer)
        for epoch in range(state.epochs_done, epochs):
            images = EpochImages(in_distribution, proxy, num_proxy, seed, epoch)
            loader = accelerator.prepare(DataLoader(images, batch_size, collate_fn=collate, num_workers=num_workers))
            with seeded(seed, epoch, accelerator.device):
                losses = _train_epoch(accelerator, wrapped, optimizer, loader, lambda_, f"epoch {epoch + 1}", progress)
            state.finish_epoch(losses, images.proxy_ids)
            if accelerator.is_main_process:
                state.save(checkpoint, settings, model, optimizer)
    return FineTuneResult(state.loss_table(), state.proxy_ids, seed)


def mixed_precision() -> str:
    """What accelerate is told: ``bf16`` on a GPU that computes in it, ``fp16`` on an older one, ``no`` on the CPU."""
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


class EpochImages(Dataset[Sample]):
    """The images of one epoch in the order of use, drawn from ``seed`` and ``epoch`` alone.

    Each image has a seed of its own for the random transform, so that nothing depends on who loads it when.
    """

    def __init__(
        self, in_distribution: SegmentationDataset, proxy: SegmentationDataset, num_proxy: int, seed: int, epoch: int
    ) -> None:
        rng = np.random.default_rng((seed, epoch))
        chosen = rng.choice(len(proxy), size=num_proxy, replace=False).tolist()
        images = [(in_distribution, i) for i in range(len(in_distribution))] + [(proxy, i) for i in chosen]
        self.images = [images[i] for i in rng.permutation(len(images))]
        self.seeds = rng.integers(2**63, size=len(images)).tolist()
        ids = proxy.ids
        self.proxy_ids = [ids[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        dataset, position = self.images[index]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seeds[index])
            return dataset[position]


def _train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader,
    lambda_: float,
    name: str,
    progress: bool,
) -> list[float]:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    losses = []
    for images, target in tqdm(loader, desc=name, disable=not (progress and accelerator.is_main_process)):
        loss = entropy_maximization_loss(model(to_dtype(images, torch.float32, scale=True)), target, lambda_)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        losses.append(accelerator.gather(loss.detach()).mean().item())
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"The loss became {losses[-1]} in {name}, step {len(losses)}. Lower the learning rate, or check the "
                "starting weights for NaN."
            )
    return losses


@contextmanager
def _unchanged_on_failure(model: nn.Module) -> Iterator[None]:
    """Puts the model's mode back at the end, and its weights too if the block raises."""
    was_training = model.training
    before = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    try:
        yield
    except BaseException:
        model.load_state_dict(before)
        raise
    finally:
        extract_model_from_parallel(model, keep_fp32_wrapper=False)  # accelerate hangs mixed precision on the model
        model.train(was_training)


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators, which dropout uses, and puts them back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch, 1)).generate_state(1)[0]))
        yield


def _number_of_proxy_images(fraction: float, in_distribution: SegmentationDataset, proxy: SegmentationDataset) -> int:
    number = int(fraction * len(in_distribution) + 1e-6)  # rounded down, as in the thesis: 0.1 of 2,975 is 297
    if not 0 <= number <= len(proxy):
        raise ValueError(
            f"proxy_fraction={fraction} of {len(in_distribution)} street scenes asks for {number} proxy images, but "
            f"there are {len(proxy)}. Choose a fraction from 0 to {len(proxy) / len(in_distribution):.3g}."
        )
    return number


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} must be from 0 to 1.")
