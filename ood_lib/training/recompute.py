"""Training in less memory, for more time: a block's inside is computed anew, not kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ood_lib.models.deeplabv3plus import ResidualBlock


@contextmanager
def recomputed_activations(model: nn.Module) -> Iterator[None]:
    """Within it the backward pass computes the inside of each block anew from the block's input.

    Blocks are those of `DeepLabV3Plus`, and those that a network of transformers names itself.
    Losses and gradients are the same, dropout included. ValueError for other networks.
    """
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    foreign = [m for m in model.modules() if getattr(m, "supports_gradient_checkpointing", False)]
    if not blocks and not foreign:
        raise ValueError(f"{type(model).__name__} has no blocks that can be computed anew. To need "
                         "less memory, halve batch_size and double accumulate.")
    layers = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]
    before = {layer: layer.gradient_checkpointing for layer in layers}
    try:
        for block in blocks:
            block.gradient_checkpointing = True
        for network in foreign:
            # Called so since transformers 5. The older way of PyTorch, with use_reentrant, does not
            # go with several processes.
            own = getattr(network, "activation_checkpointing_enable", None)
            (own or network.gradient_checkpointing_enable)({"use_reentrant": False})
        yield
    finally:
        for layer, was in before.items():
            layer.gradient_checkpointing = was
