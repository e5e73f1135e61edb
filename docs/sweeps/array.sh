#!/bin/bash
# A sweep as a SLURM array: each task measures one shard, into a store of its own, with a worker for each of its cores.
#
#   sbatch docs/sweeps/array.sh FILE.toml
#
# The same line after a time limit or a failure goes on from the stores. The last task to finish puts them together.
#SBATCH --job-name=fastlazy
#SBATCH --array=1-16
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@60
#SBATCH --output=fastlazy-%A-%a.log
set -euo pipefail

file=$1
parts=${SLURM_ARRAY_TASK_COUNT:?submit this with sbatch}
name=$(basename "$file" .toml)
mkdir -p "$name"

# The exit status is 1 if cells have failed: the other shards need not care, and --rerun-failed tries them again.
fastlazy sweep "$file" --shard "$SLURM_ARRAY_TASK_ID/$parts" --store "$name/part-$SLURM_ARRAY_TASK_ID.sqlite" \
    --workers "$SLURM_CPUS_PER_TASK" --rerun-failed || [ $? -eq 1 ]

touch "$name/done-$SLURM_ARRAY_TASK_ID"
if [ "$(find "$name" -name 'done-*' | wc -l)" -eq "$parts" ]; then
    fastlazy merge "$name.sqlite" "$name"/part-*.sqlite
fi
