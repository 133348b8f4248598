"""A study on a Ray cluster that loses a machine: a real one, of two nodes in processes of their
own."""

import threading
import time
from pathlib import Path

import pytest
from studied import write_experiment

from ood_lib.studies import Study, read_study, run_study
from ood_lib.studies.records import run_folders

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ood-lib[cluster]'")
SEEDS = list(range(6))
SPARING = {"include_dashboard": False, "include_log_monitor": False}
"""Ray gives each of a node's helpers 15 seconds to start, which two slow cores do not manage for
more of them."""


@pytest.fixture
def cluster(own_cache, monkeypatch):
    """A head and another node with one core each: the cluster, and that node."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    made = Cluster()
    try:
        made.add_node(num_cpus=1, no_monitor=True, **SPARING)
        node = made.add_node(num_cpus=1, **SPARING)
    except Exception as error:  # Ray's own kind for a helper that was too slow
        made.shutdown()
        pytest.skip(f"Ray does not start here: {error}")
    yield made, node
    ray.shutdown()
    made.shutdown()


def lose_after_the_first_run(cluster, node, folder: Path) -> None:
    while not (folder.is_dir() and run_folders(folder)):
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)


def test_a_study_goes_on_when_a_node_is_lost(cluster, tmp_path):
    experiment, folder = write_experiment(tmp_path / "data"), tmp_path / "out"
    thread = threading.Thread(target=lose_after_the_first_run, args=(*cluster, folder), daemon=True)
    thread.start()
    run_study(
        Study("the same again and again", len(SEEDS)),
        experiment,
        folder,
        cluster=cluster[0].address,
    )
    thread.join()
    table = read_study(folder, experiment).sort_values("seed")
    assert table["seed"].tolist() == SEEDS
    run_study(Study("here", 2), experiment, tmp_path / "here", jobs=1, progress=False)
    alone = read_study(tmp_path / "here", experiment).sort_values("seed")
    assert table["lost_and_found_auprc"].tolist()[:2] == alone["lost_and_found_auprc"].tolist()
