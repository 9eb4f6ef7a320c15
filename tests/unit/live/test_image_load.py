"""Images come to the nodes that lack them, and to no others; what is no image is said before."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lab.base.errors import CommandFailed, EngineError, InputError
from lab.cli import image as command
from lab.engine.commands import Result
from lab.live import node_images
from lab.live.image_load import LOADED, OFF, PRESENT, NodeImage, load
from lab.live.lab import Lab
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


TOPOLOGY = loader.load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology
NAME = "docker.io/library/app:dev"


class EngineDouble:
    """An engine with one image, and nodes with a containerd that remembers names."""

    def __init__(self) -> None:
        self.about = {"Architecture": "x86_64"}
        self.ids = {"app:dev": "sha256:aaaa"}
        self.stores: dict[str, dict[str, str]] = {"m": {}, "w1": {}}
        self.off: set[str] = set()
        self.saved: list[list[str]] = []
        self.imported: list[str] = []
        self.dies = ""
        self.full = ""

    def image(self, name: str) -> dict[str, Any] | None:
        if name == "aaaa":
            return {"Id": "sha256:aaaa", "RepoTags": ["app:dev"]}
        tag = name if ":" in name else f"{name}:latest"
        return {"Id": self.ids[tag], "RepoTags": [tag]} if tag in self.ids else None

    def images(self, pattern: str) -> dict[str, Any]:
        assert not pattern
        return {name: {} for name in self.ids}

    def inspect(self, container: str) -> dict[str, Any]:
        node = container.rsplit("-", 1)[-1]
        return {"State": {"Running": node not in self.off, "Paused": False}}

    def save(self, tags: Sequence[str], arch: str) -> Iterator[bytes]:
        assert arch == "amd64"
        self.saved.append(list(tags))
        yield json.dumps({tag: self.ids[tag.rpartition("/")[2]] for tag in tags}).encode()

    def run(
        self,
        container: str,
        argv: Sequence[str],
        stdin: Iterable[bytes] | None = None,
        timeout_s: float = 0,
        heard: object = None,
    ) -> Result:
        del timeout_s, heard
        node = container.rsplit("-", 1)[-1]
        if node in self.off:
            raise EngineError(f"{node} does not run")
        assert list(argv[:4]) == ["ctr", "-n", "k8s.io", "images"]
        store = self.stores[node]
        if argv[4] == "ls":
            rows = [f"{name} application/x {digest} 1.0 MiB" for name, digest in store.items()]
            return Result(0, "\n".join(["REF TYPE DIGEST SIZE PLATFORMS LABELS", *rows]))
        if argv[4] == "import":
            return self._import(node, b"".join(stdin or ()))
        store[argv[-1]] = store[argv[-2]]
        return Result(0, "")

    def _import(self, node: str, tar: bytes) -> Result:
        if node == self.dies:
            self.off.add(node)
        if node in {self.dies, self.full}:
            return Result(1, "no space left on device")
        self.imported.append(node)
        self.stores[node] |= json.loads(tar)
        return Result(0, "")


@pytest.fixture
def engine() -> EngineDouble:
    return EngineDouble()


@pytest.fixture
def lab(engine: EngineDouble) -> Lab:
    return Lab(engine, TOPOLOGY)  # type: ignore[arg-type]


def states(found: tuple[NodeImage, ...]) -> dict[str, str]:
    assert {row.image for row in found} == {NAME}
    return {row.node: row.state for row in found}


def test_an_image_comes_to_all_nodes_and_is_saved_once(lab: Lab, engine: EngineDouble) -> None:
    assert states(load(lab, ["app:dev"])) == {"m": LOADED, "w1": LOADED}
    assert engine.saved == [[NAME]]
    assert engine.stores["m"][NAME] == engine.stores["w1"][NAME] == "sha256:aaaa"


def test_a_node_that_has_the_same_image_is_left_alone(lab: Lab, engine: EngineDouble) -> None:
    load(lab, ["app:dev"], ["w1"])
    assert states(load(lab, ["app:dev"])) == {"m": LOADED, "w1": PRESENT}
    assert engine.imported == ["w1", "m"]
    assert states(load(lab, ["app:dev"])) == {"m": PRESENT, "w1": PRESENT}
    assert len(engine.saved) == 2


def test_an_image_that_was_built_anew_is_loaded_again_and_back(
    lab: Lab, engine: EngineDouble
) -> None:
    load(lab, ["app:dev"], ["w1"])
    engine.ids["app:dev"] = "sha256:bbbb"
    assert states(load(lab, ["app:dev"], ["w1"])) == {"w1": LOADED}
    engine.ids["app:dev"] = "sha256:aaaa"
    assert states(load(lab, ["app:dev"], ["w1"])) == {"w1": LOADED}


def test_an_image_of_that_name_from_elsewhere_is_not_taken_for_it(
    lab: Lab, engine: EngineDouble
) -> None:
    engine.stores["w1"][NAME] = "sha256:aaaa"
    assert states(load(lab, ["app:dev"], ["w1"])) == {"w1": LOADED}


def test_a_name_without_a_tag_is_latest_alone(lab: Lab, engine: EngineDouble) -> None:
    """Docker would save all images of the name."""
    engine.ids["app:latest"] = "sha256:dddd"
    (row,) = load(lab, ["app"], ["w1"])
    assert (row.image, row.state) == ("docker.io/library/app:latest", LOADED)
    assert engine.saved == [["docker.io/library/app:latest"]]


def test_a_tar_is_sent_as_it_is(lab: Lab, engine: EngineDouble, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_text(json.dumps({NAME: "sha256:cccc"}))
    monkey = SimpleNamespace(name=NAME, id="cccc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.images.archive.read", lambda _: (monkey,))
        assert states(load(lab, [str(path)])) == {"m": LOADED, "w1": LOADED}
        assert states(load(lab, [str(path)])) == {"m": PRESENT, "w1": PRESENT}
    assert not engine.saved


def test_a_node_that_is_off_is_left_out_and_said(lab: Lab, engine: EngineDouble) -> None:
    engine.off.add("w1")
    assert states(load(lab, ["app:dev"])) == {"m": LOADED, "w1": OFF}
    assert states(load(lab, ["app:dev"])) == {"m": PRESENT, "w1": OFF}


def test_a_node_that_goes_off_meanwhile_is_off(lab: Lab, engine: EngineDouble) -> None:
    engine.dies = "w1"
    assert states(load(lab, ["app:dev"])) == {"m": LOADED, "w1": OFF}


def test_a_node_that_cannot_take_it_is_an_error_and_the_others_have_it(
    lab: Lab, engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_images, "STOPPING_S", 0.0)  # it runs, and goes on
    engine.full = "m"
    with pytest.raises(CommandFailed, match="no space left"):
        load(lab, ["app:dev"])
    assert engine.imported == ["w1"]


@pytest.mark.parametrize(
    ("images", "nodes", "message"),
    [
        (["none:1"], [], "the engine has no image `none:1`"),
        (["./none.tar"], [], r"there is no file ./none.tar"),
        (["app:dev", "app.tar"], [], "there is no file app.tar"),
        (["aaaa"], [], "`aaaa` is an image, but not by its name"),
        (["app:dev"], ["w9"], "has no node `w9`"),
        (["app:dev"], ["lb"], "lb is the loadbalancer"),
        (["app:dev"], ["bmc"], "bmc is the bmc"),
    ],
)
def test_what_cannot_be_loaded_is_said_before_anything_is_done(
    lab: Lab, engine: EngineDouble, images: list[str], nodes: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(lab, images, nodes)
    assert not engine.imported


def invoke(lab: Lab, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    def find(name: str, _: object = None) -> Lab:
        assert name == "1m1w"
        return lab

    monkeypatch.setattr(command, "find_lab", find)
    return CliRunner().invoke(command.image_command, ["load", "1m1w", *words])


def test_the_command_answers_in_json(
    lab: Lab, engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.off.add("w1")
    done = invoke(lab, monkeypatch, "app:dev", "--node", "m", "-o", "json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == [{"node": "m", "image": NAME, "state": "loaded"}]


def test_the_command_fails_where_a_node_is_off(
    lab: Lab, engine: EngineDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.off.add("w1")
    done = invoke(lab, monkeypatch, "app:dev")
    assert "m     docker.io/library/app:dev  loaded" in done.stdout
    assert done.exception.exit_code == 1
    assert "not loaded into w1: off" in str(done.exception)


def test_images_are_completed(
    engine: EngineDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lab.engine.client.connect", lambda: engine)
    monkeypatch.chdir(tmp_path)
    Path("app.tar").touch()
    context: Any = None
    assert command.complete_image(context, context, "a") == ["app:dev", "app.tar"]
