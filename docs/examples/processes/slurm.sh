#!/bin/bash
# sbatch slurm.sh: two nodes with four processes each, and the example for torchrun as it is.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=4

export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=${MASTER_PORT:-29500}
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

# srun starts a process a task; what torchrun would tell it, Slurm knows.
srun --kill-on-bad-exit=1 bash -c '
    export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
    exec python "$@"' -- "${@:-ddp.py}"
