#!/usr/bin/env bash
# A real SLURM of one node with two processors, for tests. Needs Debian's slurm-wlm and munge, and root.
#   one-node.sh start FOLDER     then: export SLURM_CONF=FOLDER/slurm.conf; ports are random, so several may run
#   one-node.sh stop FOLDER      munged stays: another SLURM may use it
set -euo pipefail
verb=$1 folder=$(realpath -m "$2") host=$(hostname -s)
running() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
case $verb in
start)
  mkdir -p "$folder"/{state,spool,log} /run/munge
  cat > "$folder/slurm.conf" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((20000 + RANDOM % 5000))
SlurmdPort=$((25000 + RANDOM % 5000))
AuthType=auth/munge
AuthInfo=cred_expire=5
KillWait=5
UnkillableStepTimeout=600
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=4000
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
C
  chown munge: /run/munge
  running /run/munge/munged.pid || runuser -u munge -- /usr/sbin/munged
  export SLURM_CONF="$folder/slurm.conf"
  slurmctld -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF"
  for _ in $(seq 60); do
    [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && exit 0
    sleep 0.5
  done
  tail -n 20 "$folder"/log/slurmctld.log "$folder"/log/slurmd.log >&2
  exit 1 ;;
stop)
  for name in slurmd slurmctld; do
    running "$folder/$name.pid" || continue
    pid=$(cat "$folder/$name.pid")
    kill "$pid"
    for _ in $(seq 8); do kill -0 "$pid" 2>/dev/null || continue 2; sleep 0.25; done
    kill -KILL "$pid" 2>/dev/null || true  # slurmd may wait for ever for what its last jobs have to say
  done ;;
*) echo "start or stop" >&2; exit 2 ;;
esac
