#!/bin/bash
# One shard of vggo features, classify or eval for each task of a Slurm array. Not run on a cluster.
#
#   sbatch deploy/slurm/shards.sh features pictures/ --layer relu7 --weights vgg16.safetensors -o pictures.npy
#
# SHARDS is how many there are in all; it must be told where --array is not 0-63, and stays when some are repeated:
#
#   SHARDS=64 sbatch --array=5,17 deploy/slurm/shards.sh …
#
#SBATCH --job-name=vggo-shards
#SBATCH --array=0-63
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=vggo-shards-%A_%a.log
set -euo pipefail
exec vggo "$@" --threads "${SLURM_CPUS_PER_TASK:-0}" --shard "auto/${SHARDS:-64}"
