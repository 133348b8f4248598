"""Studies: many runs of entropy maximization, each kept as a small record (thesis, 4.3 and 5.1).

``python -m ood_lib.studies --help`` names the commands that do, show and pack them.
"""

from ood_lib.studies.definitions import STUDIES, Study
from ood_lib.studies.execution import run_study
from ood_lib.studies.records import book_records, pack, read_proxy, read_study, read_verdicts

__all__ = ["STUDIES", "Study", "book_records", "pack", "read_proxy", "read_study",
           "read_verdicts", "run_study"]
