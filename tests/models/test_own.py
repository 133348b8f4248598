"""Networks from a file of one's own, as they were written about 2018."""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from studied import write_experiment
from torch import nn

from ood_lib.kept import digest
from ood_lib.models import Adapter, build_model, load_checkpoint, save_checkpoint
from ood_lib.models.own import own_network
from ood_lib.settings import PRETRAINED, PROFILE_FOLDER, load_settings
from ood_lib.studies.runs import run_inputs
from ood_lib.training import closed_set_network

MEAN, STD = [72.4, 82.9, 73.2], [45.3, 46.2, 44.8]  # blue, green, red, of bytes
FILE = f"""
import torch.nn.functional as F
from torch import nn

from ood_lib.models import Adapter


class Net(nn.Module):
    '''Half of the image's size, 20 outputs, the last of them void; sides must divide by 8.'''

    def __init__(self, outputs=20):
        super().__init__()
        self.level1 = nn.Conv2d(3, 8, 3, stride=8, padding=1)
        self.modules = [self.level1]  # as in ESPNet, whose lists have such names
        self.drop = nn.Dropout2d(0.1)
        self.classifier = nn.ConvTranspose2d(8, outputs, 4, stride=4, bias=False)

    def forward(self, x):
        assert x.shape[2] % 8 == 0 == x.shape[3] % 8
        return self.classifier(self.drop(F.relu(self.level1(x))))


def adapted():
    return Adapter(Net(), {MEAN}, {STD}, stride=8, bgr=True, white=255, void=[19])


def bare():
    return Net(19)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "net_2018.py"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 50, 66, generator=torch.Generator().manual_seed(0))


def profile_of(folder: Path, model: str, checkpoint: str | None = PRETRAINED) -> Path:
    numbers = yaml.safe_load((PROFILE_FOLDER / "miniature.yml").read_text())
    path = folder / "own.yml"
    path.write_text(yaml.safe_dump(numbers | {"model": model, "checkpoint": checkpoint}))
    return path


def test_a_network_of_2018_from_image_to_logits(own, x):
    torch.manual_seed(1)
    model = build_model(f"{own}:adapted")
    with torch.no_grad():
        logits = model(x)
        blue_first = 255 * x[:, [2, 1, 0]]
        seen = (blue_first - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        seen = F.pad(seen, (0, 6, 0, 6), mode="replicate")  # 56 x 72
        of_net = model.network(seen)  # (2, 20, 28, 36)
        large = F.interpolate(of_net, (56, 72), mode="bilinear")
    assert of_net.shape == (2, 20, 28, 36) and logits.shape == (2, 19, 50, 66)
    torch.testing.assert_close(logits, large[:, :19, :50, :66])


@pytest.mark.parametrize(("void", "left"), [([0], range(1, 20)), ([3, 7], [0, 1, 2, 4, 5, 6])])
def test_any_output_can_be_void(void, left):
    outputs = torch.arange(len(void) + len(left)).float()
    network = nn.Conv2d(3, len(outputs), 1)
    network.weight.data.zero_()
    network.bias.data = outputs
    logits = Adapter(network, void=void)(torch.zeros(1, 3, 1, 1))
    assert logits.flatten().tolist() == list(left)
    with pytest.raises(ValueError, match=r"outputs, from 0; not all of void=\(25,\) are"):
        Adapter(network, void=[25])(torch.zeros(1, 3, 1, 1))


def test_weights_of_the_bare_network_fit_the_adapted_one(own, tmp_path):
    torch.manual_seed(1)
    bare = build_model(f"{own}:adapted").network
    weights = {f"module.{name}": tensor for name, tensor in bare.state_dict().items()}
    torch.save(weights, tmp_path / "a.pth")
    torch.manual_seed(2)
    model = load_checkpoint(build_model(f"{own}:adapted"), tmp_path / "a.pth")
    assert torch.equal(model.network.classifier.weight, bare.classifier.weight)
    assert model.mean.flatten().tolist() == pytest.approx([number / 255 for number in MEAN])
    save_checkpoint(model, tmp_path / "b.safetensors")
    again = load_checkpoint(build_model(f"{own}:adapted"), tmp_path / "b.safetensors")
    assert torch.equal(again.network.classifier.weight, bare.classifier.weight)


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("", "net", r"net_2018.py has no function or class 'net', but nothing"),
        ("import os\ndef a(): ...", "net", "has no function or class 'net', but a\\."),
        ("net = 3", "net", "net_2018.py has no function or class 'net', but nothing"),
        ("def net(width): ...", "net", r"without arguments \(missing a required argument: 'width'"),
        ("def net(): return 3", "net", r"net_2018.py:net\(\) gave a int, not a torch.nn.Module"),
        ("from torch import nn\nnet = nn.Identity", "net", "gives 3 logits, but num_classes=19"),
        ("from torch import nn\nnet = nn.Identity()", "net", "has no function or class 'net'"),
        ("from torch import nn\ndef net(): return nn.Conv2d(4, 9, 1)", "net",
         r"net_2018.py:net cannot judge an image \[1, 3, 128, 256\]: Given groups=1"),
        ("import nowhere", "net", "cannot be run: ModuleNotFoundError: No module named 'nowhere'"),
        ("def net(:", "net", "net_2018.py cannot be run: SyntaxError: invalid syntax"),
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(own, code, name, said):
    own.write_text(code)
    with pytest.raises(ValueError, match=said):
        build_model(f"{own}:{name}")


def test_a_wrong_number_of_outputs_is_refused(own, tmp_path):
    with pytest.raises(ValueError, match="bare gives 19 logits, but num_classes=5"):
        build_model(f"{own}:bare", 5)
    with pytest.raises(ValueError, match=r"Net gives 20 logits, .*Adapter\(network, void="):
        build_model(f"{own}:Net")
    with pytest.raises(FileNotFoundError, match=f"There is no file {tmp_path / 'none.py'}, from"):
        build_model(f"{tmp_path / 'none.py'}:Net")
    with pytest.raises(ValueError, match="no network 'none.py'; choose one of: .*file.py:"):
        build_model("none.py")


def test_files_beside_it_can_be_imported_and_nothing_stays_on_the_path(own):
    (own.parent / "blocks_2018.py").write_text("WIDTH = 7\n")
    own.write_text("from blocks_2018 import WIDTH\nfrom torch import nn\n\n\n"
                   "def net():\n    return nn.Conv2d(3, WIDTH, 1)\n")  # fmt: skip
    before = list(sys.path)
    assert build_model(f"{own}:net", 7).network.out_channels == 7
    assert sys.path == before


def test_an_edited_file_is_another_network_at_once(own):
    name = f"{own}:bare"
    old = build_model(name)
    assert type(old.network) is type(build_model(name).network)
    state = own.stat()
    own.write_text(FILE.replace("F.relu", "F.silu"))  # as long, and within the same second
    os.utime(own, ns=(state.st_atime_ns, state.st_mtime_ns))
    new = build_model(name)
    new.load_state_dict(old.state_dict())
    image = torch.rand(1, 3, 64, 64)
    assert not torch.equal(old(image), new(image))


def kept_as(path: Path) -> tuple[str, str]:
    torch.manual_seed(1)
    model = build_model(f"{path}:adapted")
    settings = load_settings(model=f"{path}:adapted", paint=False)
    return digest(model), digest(settings.recipe())


def test_kept_results_go_by_what_the_file_does(own, tmp_path):
    first = kept_as(own)
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(FILE.replace("# as in ESPNet", "# as ever").replace("Half of", "Half"))
    assert kept_as(elsewhere) == first
    own.write_text(FILE.replace("F.relu", "F.silu"))
    assert not set(kept_as(own)) & set(first)
    own.write_text(FILE.replace("void=[19]", "void=[18]"))
    assert not set(kept_as(own)) & set(first)


def test_functions_that_a_network_holds_tell_it_from_others(own):
    """Of a network's attributes the digest sees plain values only; the file holds the rest."""
    code = FILE + "\n\ndef other():\n    return bare()\n"
    own.write_text(code)
    torch.manual_seed(1)
    one = build_model(f"{own}:bare")
    torch.manual_seed(1)
    other = build_model(f"{own}:other")
    assert torch.equal(one.network.classifier.weight, other.network.classifier.weight)
    assert digest(one) != digest(other)


def test_a_profile_names_a_file_beside_itself_or_in_the_working_folder(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profile = profile_of(own.parent, "net_2018.py:adapted")
    settings = load_settings(profile, data_root=tmp_path)
    assert settings.model == f"{own}:adapted"
    network = closed_set_network(settings)
    assert isinstance(network, Adapter) and not network.training
    here = tmp_path / "here.py"
    here.write_text(FILE)
    assert load_settings(data_root=tmp_path, model="here.py:bare").model == f"{here}:bare"
    assert settings.changed(model="here.py:bare").model == f"{here}:bare"
    with pytest.raises(FileNotFoundError, match=f"There is no file {tmp_path / 'gone.py'}"):
        closed_set_network(load_settings(data_root=tmp_path, model="gone.py:bare"))


def test_another_model_that_brings_weights_leaves_the_checkpoint_of_the_profile(own, tmp_path):
    named = load_settings(data_root=tmp_path, model="segformer")
    assert named.model == "transformers:nvidia/segformer-b1-finetuned-cityscapes-1024-1024"
    assert named.checkpoint == PRETRAINED
    assert load_settings(data_root=tmp_path, model=f"{own}:bare").checkpoint == PRETRAINED
    small = load_settings(data_root=tmp_path, model="deeplabv3plus_small")
    with pytest.raises(ValueError, match="checkpoint .* does not fit the network"):
        closed_set_network(small)
    weights = tmp_path / "a.safetensors"
    both = load_settings(data_root=tmp_path, model=f"{own}:bare", checkpoint=weights)
    assert both.checkpoint == weights


def test_a_study_tells_runs_with_own_networks_apart(own, tmp_path):
    written = write_experiment(tmp_path)
    settings = written.changed(model=f"{own}:adapted", checkpoint=PRETRAINED)
    inputs = run_inputs(settings)
    own.write_text(FILE + "\n# A comment.\n")
    assert run_inputs(settings) == inputs
    own.write_text(FILE.replace("F.relu", "F.silu"))
    changed = run_inputs(settings)
    assert changed["settings"] != inputs["settings"] and changed["code"] != inputs["code"]
    assert changed["starting_weights"] == inputs["starting_weights"]


def test_the_short_name_is_the_published_network(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ood_lib.models.adapters.LIBRARIES",
        {"transformers": lambda *given: asked.append(given) or nn.Identity()},
    )
    build_model("segformer", pretrained=True)
    assert asked == [("nvidia/segformer-b1-finetuned-cityscapes-1024-1024", 19, True)]


def test_the_weights_a_network_brings_are_drawn_alike_each_time(own, tmp_path):
    settings = load_settings(profile_of(tmp_path, f"{own}:bare"), data_root=tmp_path)
    first, second = (closed_set_network(settings) for _ in range(2))
    assert torch.equal(first.network.classifier.weight, second.network.classifier.weight)
    assert own_network(settings.model, 19).made_by == first.made_by


def test_what_goes_wrong_in_the_callable_is_said_with_its_place(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("from torch.nn import Conv2d\n\n\ndef network():\n    return {}['weights']\n")
    with pytest.raises(ValueError, match=r"broken\.py:network\(\) failed: KeyError: 'weights'"):
        build_model(f"{path}:network")
    with pytest.raises(ValueError, match="no function or class 'nope', but network\\."):
        build_model(f"{path}:nope")
