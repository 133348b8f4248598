#!/usr/bin/env bash
# The 50 runs of section 4.3 on a cluster with SLURM, a task of the array for each seed:
#
#   sbatch examples/slurm_study.sh FOLDER DATA_ROOT
#
# FOLDER, for the records, and DATA_ROOT must be where all nodes see them. Submitted again after a node was lost or a
# task cut off, the tasks whose runs are finished end at once, and the others go on from their last epoch.
#
#SBATCH --job-name=ood-study
#SBATCH --array=0-49
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --requeue

set -euo pipefail
folder=${1:?"the folder for the records"}
data_root=${2:?"the folder that holds the data sets"}
cd "${SLURM_SUBMIT_DIR:-.}"

exec .venv/bin/python -m ood_lib.studies run repetitions --seeds "$SLURM_ARRAY_TASK_ID" \
  --out "$folder" --profile thesis --data-root "$data_root"
