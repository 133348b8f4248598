"""Training in less memory, for more time: a block's inside is computed anew, not kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ood_lib.models.deeplabv3plus import ResidualBlock


@contextmanager
def recomputed_activations(model: nn.Module) -> Iterator[None]:
    """Within it the backward pass computes the inside of each block anew from the block's input.

    Blocks are the residual blocks of `DeepLabV3Plus`, and those that a network of transformers
    names itself, be it in an `Adapter` or not. Losses and gradients are the same, dropout included.
    Raises ValueError for other networks.
    """
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    foreign = [m for m in model.modules() if getattr(m, "supports_gradient_checkpointing", False)]
    if not blocks and not foreign:
        raise ValueError(
            f"{type(model).__name__} has no blocks that can be computed anew. Leave "
            "checkpoint_activations=False; to need less memory, halve batch_size and double "
            "accumulate."
        )
    # Those that the caller has switched on stay so.
    blocks = [block for block in blocks if not block.recompute]
    foreign = [network for network in foreign if not _is_on(network)]
    try:
        _switch(blocks, foreign, True)
        yield
    finally:
        _switch(blocks, foreign, False)


def _is_on(foreign: nn.Module) -> bool:
    return any(getattr(part, "gradient_checkpointing", False) for part in foreign.modules())


def _switch(blocks: list[ResidualBlock], foreign: list[nn.Module], on: bool) -> None:
    for block in blocks:
        block.recompute = on
    for module in foreign:
        # gradient_checkpointing before transformers 5
        name = "activation" if hasattr(module, "activation_checkpointing_enable") else "gradient"
        if on:
            # The older way of PyTorch, with use_reentrant, does not go with several processes.
            getattr(module, f"{name}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(module, f"{name}_checkpointing_disable")()
