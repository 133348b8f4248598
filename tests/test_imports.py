"""What a plain import may load: whoever only asks a network does not wait for what learns."""

import subprocess
import sys

import pytest

LATE = {"matplotlib", "pandas", "pyarrow", "scipy", "seaborn", "sklearn", "torch._dynamo"}
LATE |= {"torchvision", "transformers", "papermill"}


@pytest.mark.parametrize("module", ["inference", "scores", "training"])
def test_a_plain_import_loads_little(module):
    code = f"import sys, ood_lib.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert f"ood_lib.{module}" in loaded and LATE & loaded == set()
