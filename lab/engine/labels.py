"""The labels and names by which halab finds what it made."""

from __future__ import annotations

LABEL = "halab.lab"
"""On everything of a lab: the lab's name. `destroy` removes what has it, and nothing else."""
LABEL_NODE = "halab.node"
LABEL_ROLE = "halab.role"
LABEL_DISTRIBUTION = "halab.distribution"
LABEL_RELEASE = "halab.release"
"""On K3s's image, and so on its nodes: the first line of `k3s --version`."""
LABEL_SPEC = "halab.spec"
LABEL_RUN = "halab.run"
"""The run that made it: ^C removes what its own run made, and nothing else."""
LABEL_TOPOLOGY = "halab.topology"
"""On the lab's network: the whole topology as JSON. It replaces a state file."""
LABEL_IMAGE = "halab.image"
"""On an image: its name under images/."""
LABEL_HELPER = {"halab.helper": "1"}
"""On containers that live for one step; `halab destroy --all` and `doctor --fix` remove
left-overs."""
LABEL_INSTRUMENT = "halab.instrument"
LABEL_WATCH = "halab.watch"
"""On the agent of a watch: no run of a scenario waits for it or removes it."""
LABEL_SNAPSHOT = "halab.snapshot"
"""On a snapshot's images: its name. On a lab's network: the snapshot that the lab was made from."""
LABEL_SNAPSHOT_BASE = "halab.snapshot.base"
"""On a snapshot's images, and so on containers made of them: the image that the first lab's nodes
were made of."""
LABEL_SNAPSHOT_SAVE = "halab.snapshot.save"
"""On a snapshot's images: a random value, the same on all that were written together."""
LABEL_SNAPSHOT_RECORD = "halab.snapshot.record"
"""On the image that is written last: what the snapshot is, as JSON. Without it, one is half
written."""
OF_CONTAINERS = (LABEL, LABEL_NODE, LABEL_ROLE, LABEL_SPEC, LABEL_RUN, *LABEL_HELPER)
"""What says whose a container is: empty on an image that was made from one."""


def secrets_volume(lab: str) -> str:
    """Return the name of the volume that keeps the lab's secrets."""
    return f"halab-{lab}-secrets"


def network_name(lab: str) -> str:
    """Return the name of the lab's network."""
    return f"halab-{lab}"


def management_name(lab: str) -> str:
    """Return the name of the lab's management network."""
    return f"halab-{lab}-management"


def container_name(lab: str, node: str) -> str:
    """Return the name of a node's container.

    Docker wants two characters or more, and a node's own name may have one (`m`).
    """
    return f"halab-{lab}-{node}"
