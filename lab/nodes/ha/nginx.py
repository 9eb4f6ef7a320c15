"""The load balancer's configuration: nginx's stream module in front of the masters. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.topology.model import KUBERNETES_PORT

CONNECTIONS = 4096
"""Connections of one worker, to clients and masters together: each use of the API takes two."""
STATUS_PORT = 8080
STATUS_PATH = "/stub_status"
SYSCTLS = {
    # nginx can turn on keepalive probes for its connections to the masters
    # (proxy_socket_keepalive), but cannot say when they start: the kernel's default is two hours. A
    # silent connection to a master that vanished without a word ends after 5 + 3 * 2 s.
    "net.ipv4.tcp_keepalive_time": "5",
    "net.ipv4.tcp_keepalive_intvl": "2",
    "net.ipv4.tcp_keepalive_probes": "3",
    # A connection with unanswered data is not probed. It sends the data again, by default for 15
    # minutes (tcp_retries2=15); with 5, for 12.6 s on a bridge (the kernel's ip-sysctl: the sum of
    # 6 doubling time-outs from 200 ms).
    "net.ipv4.tcp_retries2": "5",
}
"""Kernel parameters of the load balancer's network namespace."""

if TYPE_CHECKING:
    from lab.topology.model import Topology


UPSTREAM = "/etc/halab/upstream.conf"
"""Lists all masters until halab-balance has asked them; it rewrites the file if one cannot
serve."""


def upstream(topology: Topology) -> str:
    """Render the list of masters that nginx.conf includes."""
    return "".join(
        # One failure marks a master dead for 5 s: every five seconds, a dead master costs one
        # connection a retry.
        f"server {node.ip}:{KUBERNETES_PORT} max_fails=1 fail_timeout=5s;  # {node.name}\n"
        for node in topology.masters
    )


def conf(topology: Topology) -> str:
    """Render nginx.conf.

    A backslash joins two lines of this source: the file's own comments are longer than ours.
    """
    port = KUBERNETES_PORT
    return f"""load_module modules/ngx_stream_module.so;
worker_processes 1;
# A file for each connection, and a few; a service has 1024 otherwise (systemd's default).
worker_rlimit_nofile {2 * CONNECTIONS};
error_log stderr warn;
pid /run/nginx.pid;
# After a reload, who is connected stays so for this long: a kubectl exec is not cut at once, \
and old workers do not pile up.
worker_shutdown_timeout 10m;
events {{
    worker_connections {CONNECTIONS};
}}
stream {{
    upstream kubernetes {{
        # Shared state: without a zone every worker would have to find out for itself who is dead.
        zone kubernetes 64k;
        # By turns, nginx's default. By least_conn a master that boots, and accepts before it can \
answer, got every new connection, for it
        # has the fewest (measured: 3.8 s without an answer at a master's return).
        include {UPSTREAM};
    }}
    server {{
        listen {port} so_keepalive=10s:3s:3;
        proxy_pass kubernetes;
        # The masters are on the same bridge: one that does not answer within half a second is \
down (nginx's default is 60 s).
        proxy_connect_timeout 500ms;
        proxy_next_upstream on;
        proxy_next_upstream_tries {max(2, len(topology.masters))};
        # Watches may be silent for minutes (bookmarks come once a minute); kubectl exec and \
port-forward for longer.
        proxy_timeout 1h;
        # A master that vanished without a word is noticed by keepalive probes (SYSCTLS says \
when), not by the time-out above.
        proxy_socket_keepalive on;
    }}
}}
# nginx's own counters, connections of the stream included: for the exporter (add-on \
`prometheus`), from the lab's network only.
http {{
    access_log off;
    server {{
        listen {STATUS_PORT};
        location = {STATUS_PATH} {{
            stub_status;
            allow {topology.network.subnet};
            allow 127.0.0.1;
            deny all;
        }}
        location / {{
            return 404;
        }}
    }}
}}
"""
