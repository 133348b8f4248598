"""Score maps in files: measured by every protocol side by side, or written for a benchmark.

`python -m ood_lib.metrics compare MAPS ...` and `python -m ood_lib.metrics export MAPS ...`.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ood_lib.data import data_folder, open_dataset
from ood_lib.files import user_path
from ood_lib.metrics.protocols import TEST_DATA, compare_protocols
from ood_lib.metrics.score_maps import export_maps


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code, 1 if something is wrong."""
    parser = argparse.ArgumentParser("python -m ood_lib.metrics", description=__doc__)
    add = parser.add_argument
    add("do", choices=("compare", "export"), help="measure, or write for road-anomaly-benchmark")
    add("maps", type=Path, help="a folder of {frame}.npy or {frame}_score.npy")
    add("--dataset", choices=TEST_DATA, required=True)
    add("--data-root", type=user_path, required=True, help="holds the data sets' own folders")
    add("--split", help="may be left out where there is but one")
    add("--out", type=Path, default="outputs", help="for export: the benchmark's DIR_OUTPUTS; "
        "by default outputs")
    add("--method", default="ood_lib", help="for export: by what name the benchmark knows it")
    options = parser.parse_args(argv)
    name, root = options.dataset, data_folder(options.dataset, options.data_root)
    try:
        if options.do == "export":
            dataset, stored = open_dataset(name, root, options.split), TEST_DATA[name]["folder"]
            written = export_maps(options.maps, dataset, options.out, stored, options.method)
            print(f"{len(written)} maps; see {options.out / 'anomaly_p' / options.method}")
            return 0
        table, notes = compare_protocols(options.maps, name, root, options.split)
        print(table.to_string(na_rep="", float_format="{:.4f}".format), end="\n\n")
        for note in notes:
            print(textwrap.fill(note, 100, initial_indent="- ", subsequent_indent="  "))
    except (ValueError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
