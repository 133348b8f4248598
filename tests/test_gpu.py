"""What only a machine with an NVIDIA card can show: `make gpu PARTS=tests`."""

import pytest
import torch
from torch.testing import assert_close

from ood_lib.models import build_model
from ood_lib.scores import energy, entropy, max_softmax
from ood_lib.training import entropy_maximization_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("score", [entropy, energy, max_softmax])
def test_scores_are_those_of_the_cpu(score):
    logits = 5 * torch.randn(2, 19, 16, 24, generator=torch.Generator().manual_seed(0))
    assert_close(score(logits.cuda()).cpu(), score(logits), rtol=1e-5, atol=1e-5)


def test_a_step_in_bfloat16_leaves_finite_weights():
    torch.manual_seed(0)
    model = build_model("deeplabv3plus_miniature", 19).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    target = torch.randint(19, (2, 64, 64), device="cuda")
    target[:, :32] = 254
    with torch.autocast("cuda", torch.bfloat16):
        logits = model(torch.rand(2, 3, 64, 64, device="cuda"))
    entropy_maximization_loss(logits.float(), target).backward()
    optimizer.step()
    assert all(value.isfinite().all() for value in model.parameters())


def test_the_same_seed_gives_the_same_network():
    first, second = (seeded_weights() for _ in range(2))
    assert torch.equal(first, second)


def seeded_weights() -> torch.Tensor:
    torch.manual_seed(3)
    with torch.device("cuda"):
        model = build_model("deeplabv3plus_miniature", 19)
    return torch.cat([value.flatten() for value in model.parameters()])
