"""Real time for Corosync, and the budgets that some kernels want first. Pure text.

Corosync asks for it (`sched_rr`); where it is refused, it says "Could not set SCHED_RR" and goes
on at niceness -20 (its exec/main.c). Most kernels give it to a privileged container
for the asking. One with CONFIG_RT_GROUP_SCHED gives it, with cgroup v1, to cgroups that have a
budget. A cgroup begins with none and gets no more than its parent has, so the
engine's own cgroup needs one first, which only the host's root can give (lab/host/realtime.py).
"""

from __future__ import annotations

PERIOD_US, RUNTIME_US = 200_000, 20_000
"""A master's budget: a tenth of each processor. Corosync uses a hundredth (measured). Who has used
his up waits for the period's end: a fifth of a second, far from the shortest token (400 ms)."""
PLACES = (".", "system.slice", "system.slice/corosync.service")
"""From a master's own cgroup to Corosync's: each needs a budget, of its parent's."""
UNIT = (
    f"ExecStartPre=-/bin/sh -c 'for place in {' '.join(PLACES)}; do cd /sys/fs/cgroup/cpu/$$place "
    f"&& echo {PERIOD_US} >cpu.rt_period_us && echo {RUNTIME_US} >cpu.rt_runtime_us || exit 0; "
    "done 2>/dev/null'\n"
)
"""Corosync's service takes its budget where there are budgets, and starts without elsewhere."""
