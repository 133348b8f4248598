"""Entropy maximization (Chan et al. 2021; thesis, section 3.2): the objective, and fine-tuning with it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torchvision.transforms.v2.functional import to_dtype
from tqdm.auto import tqdm

from ood_lib.data.labels import IGNORE_INDEX, OOD_INDEX
from ood_lib.data.sample import SegmentationDataset
from ood_lib.device import half_precision
from ood_lib.epoch import EpochImages, EpochLoader
from ood_lib.models.deeplabv3plus import DeepLabV3Plus
from ood_lib.models.logits import image_logits
from ood_lib.models.recompute import recomputed_activations
from ood_lib.training_state import TrainingState, checkpoint_file, describe_dataset, weights_digest


def entropy_maximization_loss(
    logits: Tensor,
    target: Tensor,
    lambda_: float = 0.9,
    ood_index: int = OOD_INDEX,
    ignore_index: int = IGNORE_INDEX,
    ood_share: float | None = None,
) -> Tensor:
    """The objective of equations 3.3-3.5 for a batch that mixes street scenes and proxy images; a scalar.

    ``logits`` are (N, C, H, W), ``target`` is an integer (N, H, W). A pixel of class c < C adds
    (1 - lambda) (-log p_c), a pixel with ``ood_index`` adds lambda times the mean of -log p over all classes, which is
    least where the entropy is greatest (equation 3.6), and a pixel with ``ignore_index`` adds nothing. The sum is
    divided by all H W pixels and averaged over the images. Raises ValueError for any other target value, for shapes
    that do not match, and for a lambda or share outside [0, 1].

    So an image weighs the more the more of its pixels are out-of-distribution. With ``ood_share`` their sum is scaled,
    in each image that has any, as though just this share of its pixels were; None is the thesis's sum.
    """
    num_classes = logits.shape[1]
    _require_share("lambda_", lambda_)
    _require_share("ood_share", ood_share)
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
    if ood_share is not None:
        found = is_ood.float().mean(dim=(1, 2), keepdim=True)
        out_loss = out_loss * torch.where(found > 0, ood_share / found, 0)
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
    ood_share: float | None = None,
    epochs: int = 4,
    proxy_fraction: float = 0.1,
    batch_size: int = 8,
    accumulate: int = 1,
    learning_rate: float = 1e-5,
    seed: int = 0,
    checkpoint_activations: bool = False,
    num_workers: int = 0,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> FineTuneResult:
    """Train the network on to be uncertain about proxy objects and certain about street scenes (section 4.1).

    ``model`` is any network that `ood_lib.models.logits.image_logits` can ask. Each epoch shuffles all in-distribution
    images with ``proxy_fraction`` times as many proxy images, drawn afresh, and takes one Adam step for every
    ``batch_size * accumulate`` of them. The data sets crop by their own transform. Every draw - which proxy images,
    the order, the crops, dropout - follows from ``seed``, whatever was drawn before. The statistics of batch
    normalisation stay as they are, since they describe streets and not proxy images; its scales and shifts are trained.
    ``lambda_`` and ``ood_share`` are those of `entropy_maximization_loss`.

    Where memory is short: only ``batch_size`` images are computed at once, and the step is that of all of them
    together, so that half the size and twice ``accumulate`` train alike. With ``checkpoint_activations`` the inside of
    each block is computed again in the backward pass instead of being kept: the same result, later (ValueError for
    networks that `ood_lib.models.recompute` does not know). On a GPU the network computes in `half_precision`.

    With ``checkpoint``, a file to be, the state is kept after every epoch: the same call goes on from there after an
    interruption, with the result it would have had, and returns at once if all is done. A file of other settings is
    refused with ValueError. If ``checkpoint`` is a folder, the file in it is named by the settings, the place of the
    images and the library's code, so that equal calls share one, in whichever notebook. If the call fails, the network
    has the weights it had before.

    On several GPUs: call it in every process of ``accelerate launch`` or `accelerate.notebook_launcher`. Each takes
    its share of every batch, and the step is again that of all images together, no image counting twice where a batch
    does not divide. Every process ends with the same weights and result; only dropout draws differently in each, so
    that another number of processes trains a network with dropout a little differently. The main process keeps the
    state while the others wait; all read it, so ``checkpoint`` must be a place that all of them see. What
    `notebook_launcher` started ends with its weights: give it a ``checkpoint`` and repeat the call in the notebook.

    Raises FloatingPointError if the loss is no longer a number.
    """
    _require_share("lambda_", lambda_)
    _require_share("ood_share", ood_share)
    num_proxy = _number_of_proxy_images(proxy_fraction, in_distribution, proxy)
    settings = {
        "lambda_": lambda_, "ood_share": ood_share, "epochs": epochs, "proxy_fraction": proxy_fraction,
        "batch_size": batch_size, "accumulate": accumulate, "learning_rate": learning_rate, "seed": seed,
        "in_distribution": describe_dataset(in_distribution), "proxy": describe_dataset(proxy),
        "starting weights": weights_digest(model.state_dict()),
    }  # fmt: skip
    checkpoint = checkpoint_file(checkpoint, settings, (in_distribution, proxy))
    loss_of = partial(entropy_maximization_loss, lambda_=lambda_, ood_share=ood_share)
    accelerator = _accelerator(model)
    with _unchanged_on_failure(model), recomputed_activations(model) if checkpoint_activations else nullcontext():
        wrapped, optimizer = accelerator.prepare(_Logits(model), torch.optim.Adam(model.parameters(), lr=learning_rate))
        kept = (checkpoint, settings, model, optimizer, accelerator.scaler)
        state = TrainingState.resume(*kept)
        for epoch in range(state.epochs_done, epochs):
            images = EpochImages(in_distribution, proxy, num_proxy, seed, epoch)
            loader = EpochLoader(images, batch_size, accumulate, num_workers, accelerator)
            with seeded(seed, epoch, accelerator.device, accelerator.process_index):
                losses = _train_epoch(accelerator, wrapped, optimizer, loader, loss_of, f"epoch {epoch + 1}", progress)
            state.finish_epoch(losses, images.proxy_ids)
            if accelerator.is_main_process:
                state.save(*kept)
            accelerator.wait_for_everyone()
    return FineTuneResult(state.loss_table(), state.proxy_ids, seed)


class _Logits(nn.Module):
    """A network of any kind as one of logits at image size, so that accelerate wraps what is between, too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return image_logits(self.model, images)


def _accelerator(model: nn.Module) -> Accelerator:
    precision = {None: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[half_precision()]
    # Other networks may have layers on which no logit depends; to look for them takes time.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=not isinstance(model, DeepLabV3Plus))
    accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[parallel])
    accelerator.gradient_accumulation_steps = 1  # whatever the user told accelerate: batches are weighed here
    return accelerator


def _train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: EpochLoader,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    name: str,
    progress: bool,
) -> list[float]:
    """The loss of each step."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    losses, total = [], torch.zeros((), device=accelerator.device)
    optimizer.zero_grad()
    bar = tqdm(loader, desc=name, disable=not (progress and accelerator.is_main_process))
    for batch, images, target in bar:
        with nullcontext() if batch.ends_step else accelerator.no_sync(model):
            logits = model(to_dtype(images, torch.float32, scale=True))
            loss = batch.share * loss_of(logits, target)
            accelerator.backward(loss * accelerator.num_processes)  # for gradients are averaged over the processes
        total += loss.detach()
        if batch.ends_step:
            optimizer.step()
            optimizer.zero_grad()
            losses.append(accelerator.reduce(total, "sum").item())
            _require_finite(losses, name)
            total.zero_()
    return losses


def _require_finite(losses: list[float], name: str) -> None:
    if not math.isfinite(losses[-1]):
        raise FloatingPointError(
            f"The loss became {losses[-1]} in {name}, step {len(losses)}. Lower the learning rate, or check the "
            "starting weights for NaN."
        )


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
        model.train(was_training)


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device, process: int = 0) -> Iterator[None]:
    """Seeds torch's global generators, which dropout uses, and puts them back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence((seed, epoch, 1, process)).generate_state(1)[0]))
        yield


def _number_of_proxy_images(fraction: float, in_distribution: SegmentationDataset, proxy: SegmentationDataset) -> int:
    number = int(fraction * len(in_distribution) + 1e-6)  # rounded down, as in the thesis: 0.1 of 2,975 is 297
    if not 0 <= number <= len(proxy):
        raise ValueError(
            f"proxy_fraction={fraction} of {len(in_distribution)} street scenes asks for {number} proxy images, but "
            f"there are {len(proxy)}. Choose a fraction from 0 to {len(proxy) / len(in_distribution):.3g}."
        )
    return number


def _require_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name}={value} must be from 0 to 1.")
