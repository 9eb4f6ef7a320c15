from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from lab.base.errors import InputError, LabError
from lab.kube import kubeconfig
from lab.kube.secrets import Pair


def test_a_kubeconfig_is_merged_and_taken_out_without_loss(tmp_path: Path) -> None:
    target = tmp_path / "config"
    cluster = {"server": "https://x", "insecure-skip-tls-verify": True}
    mine = {
        "clusters": [{"name": "mine", "cluster": cluster}],
        "contexts": [{"name": "mine", "context": {}}],
    }
    target.write_text(yaml.safe_dump({**mine, "current-context": "mine"}))
    target.chmod(0o640)
    added = kubeconfig.build("one", "https://127.0.0.1:6443", b"ca", Pair(b"key", b"crt"))
    kubeconfig.merge(target, added)
    kubeconfig.merge(target, added)
    merged = yaml.safe_load(target.read_text())
    assert [row["name"] for row in merged["clusters"]] == ["mine", "halab-one"]
    assert merged["clusters"][0] == mine["clusters"][0]
    assert merged["current-context"] == "halab-one"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert kubeconfig.unmerge(target, "one")
    assert yaml.safe_load(target.read_text())["clusters"] == mine["clusters"]
    assert yaml.safe_load(target.read_text())["current-context"] == "mine"
    assert not kubeconfig.unmerge(target, "one")
    assert [item.name for item in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("text", ["{ broken", "- a list", "clusters: [1]"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    target = tmp_path / "config"
    target.write_text(text)
    with pytest.raises(InputError):
        kubeconfig.merge(target, kubeconfig.build("one", "https://x", b"", Pair(b"", b"")))
    assert target.read_text() == text


def test_a_new_kubeconfig_is_private_and_a_held_lock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" / "config"
    added = kubeconfig.build("one", "https://x", b"", Pair(b"", b""))
    kubeconfig.merge(target, added)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    monkeypatch.setattr(kubeconfig, "LOCK_WAIT_S", 0.01)
    Path(f"{target}.lock").touch()
    with pytest.raises(LabError, match="is held by somebody"):
        kubeconfig.merge(target, added)
