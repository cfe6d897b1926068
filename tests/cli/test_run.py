"""``appconnectivity run`` where it ends by itself: its help, wrong usage, and no way to a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from appconnectivity.settings import Settings

PROGRAM = Path(sys.executable).with_name("appconnectivity")


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``appconnectivity run`` where it is to end by itself."""
    return subprocess.run(
        [PROGRAM, "run", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_explains_every_option() -> None:
    text = " ".join(run("--help").stdout.split()).replace("- ", "-")

    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"--{name.replace('_', '-')} " in text
        assert " ".join(field.description.split()).replace("- ", "-") in text
    assert "APPCONNECTIVITY_" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--workers", "none"), "--workers: ", id="no-number"),
        pytest.param(("--workers", "0"), "--workers: ", id="too-few"),
        pytest.param(("--port", "65536"), "--port: ", id="too-high"),
        pytest.param(
            ("--expiry-warning-hours", "1e9"), "--expiry-warning-hours: ", id="more-hours-than-a-date-can-bear"
        ),
        pytest.param(("--app-label", "a b"), "--app-label: ", id="no-label-key"),
        pytest.param(("--private-cidrs", "10.0.0.1/8"), "--private-cidrs: ", id="host-bits"),
        pytest.param(("--private-cidrs", "::/0"), "--private-cidrs: ", id="nothing-would-be-the-internet"),
        pytest.param(("--dns-services", "kube-dns"), "--dns-services: ", id="no-namespace"),
        pytest.param(("--log-level", "loud"), "--log-level", id="unknown-level"),
        pytest.param(("--loud",), "--loud", id="unknown-option"),
        pytest.param(("extra",), "extra", id="extra-word"),
    ],
)
def test_a_bad_option_ends_with_2_and_is_named(words: tuple[str, ...], said: str) -> None:
    done = run(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_setting_of_the_environment_ends_with_2_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPCONNECTIVITY_SWEEP_INTERVAL", "0")

    done = run()

    assert done.returncode == 2
    assert "--sweep-interval: " in done.stderr


def test_a_misspelt_setting_of_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPCONNECTIVITY_ADOPTION_SECOND", "0")
    monkeypatch.setenv("APPCONNECTIVITY_LOG_FORMAT", "text")

    done = run("--kubeconfig", str(tmp_path / "none"), "--port", "0")

    said, end = done.stderr.splitlines()
    assert "APPCONNECTIVITY_ADOPTION_SECOND in the environment is no setting" in said
    assert "kubeconfig" in end


_HALF_A_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": "###"}}],
    "users": [{"name": "a", "user": {"token": "none"}}],
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("{", id="no-yaml"),
        pytest.param("[1]", id="a-list"),
        pytest.param("kind: Config", id="no-context"),
        pytest.param("\\udcff", id="no-text"),
        pytest.param(yaml.safe_dump(_HALF_A_KUBECONFIG), id="no-certificate"),
    ],
)
def test_without_a_cluster_it_ends_with_1_and_one_sentence(tmp_path: Path, text: str | None) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if text is not None:
        kubeconfig.write_text(text)

    done = run("--kubeconfig", str(kubeconfig), "--port", "0", "--log-format", "text")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "kubeconfig" in done.stderr


def test_without_any_settings_it_says_what_to_give(tmp_path: Path) -> None:
    done = run("--log-format", "text", environment={"HOME": str(tmp_path), "PATH": ""})

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "kubeconfig ~/.kube/config: no such file (give --kubeconfig, set KUBECONFIG, or run in a pod" in done.stderr
