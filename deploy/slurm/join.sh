#!/bin/bash
# Puts the shards together once all of them are there. Not run on a cluster.
#
#   sbatch --dependency=afterok:JOB deploy/slurm/join.sh features -o pictures.npy
#
#SBATCH --job-name=vggo-join
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --output=vggo-join-%j.log
set -euo pipefail
exec vggo join "$@"
