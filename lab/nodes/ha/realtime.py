"""Real-time scheduling for Corosync, and the budgets that some kernels want for it. Pure text.

Corosync asks for real time (`sched_rr`). If that is refused, it says "Could not set SCHED_RR" and
goes on at niceness -20 (its exec/main.c). Most kernels grant it to any privileged container. One
with CONFIG_RT_GROUP_SCHED grants it, under cgroup v1, only to cgroups that have a budget. A cgroup
begins without one and gets no more than its parent has. The engine's own cgroup therefore needs one
first, which only the host's root can give (lab/host/realtime.py).
"""

from __future__ import annotations

PERIOD_US, RUNTIME_US = 200_000, 20_000
"""A master's budget: a tenth of each processor. Corosync uses a hundredth (measured). A process
that has used up the budget waits for the period's end: at most a fifth of a second, well below the
shortest token (400 ms)."""
PLACES = (".", "system.slice", "system.slice/corosync.service")
"""From a master's own cgroup to Corosync's: each needs a budget out of its parent's."""
UNIT = (
    f"ExecStartPre=-/bin/sh -c 'for place in {' '.join(PLACES)}; do cd /sys/fs/cgroup/cpu/$$place "
    f"&& echo {PERIOD_US} >cpu.rt_period_us && echo {RUNTIME_US} >cpu.rt_runtime_us || exit 0; "
    "done 2>/dev/null'\n"
)
"""Corosync's service takes its budget where budgets exist, and starts without one elsewhere."""
