#!/bin/bash
#SBATCH --job-name=fcdcc
#SBATCH --ntasks=4 --cpus-per-task=1 --mem-per-cpu=2G
#SBATCH --time=01:00:00
# One job with a scheduler and a worker in each of its tasks, and a program:
#
#   sbatch [OPTIONS OF SBATCH] cluster/slurm/job.sh PROGRAM...
#
# The program finds the scheduler's address in DASK_SCHEDULER_ADDRESS, as a Dask client
# without arguments does. FCDCC_BIN is where the nodes have the package's programs, by
# default they are on PATH. Submit it from a folder that the nodes share.
set -euo pipefail

bin=${FCDCC_BIN:+$FCDCC_BIN/}
file=$PWD/scheduler-$SLURM_JOB_ID.json
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$file"' EXIT
trap 'exit 143' TERM

"${bin}dask" scheduler --port 0 --dashboard-address :0 --no-jupyter \
    --scheduler-file "$file" &
srun --ntasks="$SLURM_NTASKS" "${bin}fcdcc-keras" worker --no-nanny \
    --nthreads "${SLURM_CPUS_PER_TASK:-1}" --scheduler-file "$file" &

until [ -s "$file" ]; do
    kill -0 %1 2>/dev/null || { echo "The scheduler has ended, see above." >&2; exit 1; }
    sleep 0.2
done
DASK_SCHEDULER_ADDRESS=$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$file")
export DASK_SCHEDULER_ADDRESS

# In the background, so that a signal at the walltime is not held up by it.
"$@" &
program=$!
wait "$program"
