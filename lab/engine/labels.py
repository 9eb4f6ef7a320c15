"""The labels and names by which halab finds what it made: `destroy` removes what bears them and nothing else."""

from __future__ import annotations

LABEL = "halab.lab"
"""On everything of a lab: the lab's name. Whatever bears it, `destroy` removes; whatever does not,
nothing touches."""
LABEL_NODE = "halab.node"
LABEL_ROLE = "halab.role"
LABEL_DISTRIBUTION = "halab.distribution"
LABEL_RELEASE = "halab.release"
"""On the image of K3s, and so on its nodes: the first line of `k3s --version`."""
LABEL_SPEC = "halab.spec"
LABEL_RUN = "halab.run"
"""The run that made it: ^C removes what this run made and nothing else."""
LABEL_TOPOLOGY = "halab.topology"
"""On the network: the whole topology as JSON, so that no state file is needed."""


LABEL_IMAGE = "halab.image"


LABEL_HELPER = {"halab.helper": "1"}
"""On containers that live for one step of a build; `halab destroy --all` and `doctor --fix` remove
left-overs."""


LABEL_INSTRUMENT = "halab.instrument"


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
    """Return the container's name: Docker wants two characters or more, the seed's first node has one."""
    return f"halab-{lab}-{node}"
