"""Each format by its own world's schema, its shell lines by shellcheck; pinned, and safe from what names hold."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import hcl2  # type: ignore[import-not-found, import-untyped, unused-ignore]
import pytest

from provision.config.load import load
from provision.errors import UsageError
from provision.recipes import FORMATS, tool
from provision.recipes.configuration import written
from provision.recipes.formats import ROWS, Wanted, recipe
from provision.render import hcl, heredoc, yaml
from provision.spec import Buildkit, Registry, Spec, Tls
from tests.lab.cli import provision
from tests.lab.recipes import parsed, scripts
from tests.unit.house.test_docs import example
from tests.unit.house.test_lint import BIN, accept

TOOL: Final = f"git+https://git.example/provision@{'ab' * 20}"
WANTED: Final = Wanted(
    spec=Spec(platforms=("linux/amd64", "linux/arm64"), buildkit=Buildkit(version="v0.31.2")),
    tool=TOOL,
    image="registry.example:5000/team/app:1.0",
)
SCHEMAS: Final = {
    "github": "vendor.github-workflows",
    "gitlab": "vendor.gitlab-ci",
    "woodpecker": "vendor.woodpecker-ci",
    "travis": "vendor.travis",
}
CI: Final = ("github", "github-steps", "gitlab", "woodpecker", "travis")


def made(name: str, **changes: object) -> str:
    return recipe(name, replace(WANTED, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("own", [True, False], ids=["own registry", "another"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_its_schema(name: str, own: bool, tmp_path: Path) -> None:
    if own and not ROWS[name].image:
        with pytest.raises(UsageError, match="no registry of its own"):
            made(name, image="")
        return
    file = tmp_path / "recipe.yml"
    file.write_text(made(name, **({"image": ""} if own else {})))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    if name == "gitlab":
        command += ["--data-transform", "gitlab-ci"]
    done = subprocess.run([*command, str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("cloud-init")
def test_the_schema_of_cloud_init(tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    file.write_text(made("cloud-init", image=""))
    done = subprocess.run(
        ["cloud-init", "schema", "--config-file", str(file)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_packers_language() -> None:
    text = made("packer", image="")
    document = hcl2.load(io.StringIO(text))
    assert document.keys() - {"__comments__"} == {"build"}
    assert "$${" not in made("shell", image="")
    assert not [line for line in text.splitlines() if "${" in line.replace("$${", "")]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "packer"])
def test_shellcheck(name: str) -> None:
    for script in scripts(name, made(name, image="" if not ROWS[name].builds else WANTED.image)):
        accept(BIN / "shellcheck", "--shell=sh", "-", given=script.text, name=script.name)


@pytest.mark.parametrize("name", FORMATS)
def test_tool_and_buildkit_are_pinned(name: str) -> None:
    text = made(name)
    assert TOOL in text
    assert 'version = "v0.31.2"' in text
    assert "latest" not in text


@pytest.mark.parametrize("name", CI)
def test_the_whole_pipeline_in_its_order(name: str) -> None:
    text = made(name)
    words = ('provision" provision', "login", "buildctl build", "push=true", "verify", "logs --lines")
    places = [text.index(word) for word in words if name != "woodpecker" or "logs" not in word]
    assert places == sorted(places)
    assert "linux/amd64,linux/arm64" in text
    assert "logs --lines" in text


@pytest.mark.parametrize("name", CI)
def test_the_password_comes_from_the_secret_alone(name: str) -> None:
    text = made(name)
    assert "printf '%s' \"$REGISTRY_PASSWORD\" |" in text
    assert "--password-stdin" in text
    for script in scripts(name, text):
        assert "$REGISTRY_PASSWORD" not in script.text.replace("printf '%s' \"$REGISTRY_PASSWORD\" |", "")


def test_the_steps_are_those_of_the_workflow() -> None:
    whole = parsed(made("github"))
    assert parsed(made("github-steps")) == whole["jobs"]["image"]["steps"]


@pytest.mark.parametrize("name", CI)
def test_without_platforms_there_is_nothing_to_build(name: str) -> None:
    with pytest.raises(UsageError, match="needs platforms"):
        made(name, spec=Spec())


def test_an_image_takes_nothing_of_one_machine_along() -> None:
    tls = Tls(cert="/etc/buildkit/cert.pem", key="/etc/buildkit/it's key.pem", ca="/etc/buildkit/ca.pem")
    text = made("shell", spec=Spec(buildkit=Buildkit(tls=tls)))
    for word in (
        ": >/etc/machine-id",
        "ssh_host_*_key",
        "/var/lib/buildkit -mindepth 1 -delete",
        "random-seed",
    ):
        assert word in text
    assert "rm -f /etc/buildkit/cert.pem\n" in text
    assert "rm -f '/etc/buildkit/it'\"'\"'s key.pem'\n" in text
    assert "ca.pem\n" not in text.partition("END-OF-CONFIGURATION\n#")[2]


# The configuration


def test_the_configuration_means_the_same(tmp_path: Path) -> None:
    """By the example of the documentation, which has every setting."""
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(example(), encoding="utf-8")
    spec = load(first).spec
    second.write_text(written(spec), encoding="utf-8")
    assert load(second).spec == spec
    assert written(load(second).spec) == written(spec)


def test_the_defaults_stay_defaults(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(written(Spec()))
    assert load(file).spec == Spec()
    assert file.read_text() == '\n[buildkit]\nversion = "v0.32.2"\n'.replace(
        "v0.32.2", Spec().buildkit.version
    )


def test_the_version_and_flags_are_in_it(tmp_path: Path) -> None:
    seen = provision(
        *("export", "shell", "--tool", TOOL, "--platforms", "arm64", "--buildkit-version", "v0.31.2"),
        cwd=tmp_path,
    )
    assert (seen.code, seen.err) == (0, "")
    assert 'platforms = ["linux/arm64"]' in seen.out
    assert 'version = "v0.31.2"' in seen.out


@pytest.mark.parametrize("text", ["${{ secrets.X }}", 'a"b', "é\u202e", "a: b # c", "- x", "$(rm)"])
def test_any_text_is_one_scalar(text: str) -> None:
    assert parsed(yaml(text)) == text


def test_a_heredoc_cannot_be_ended() -> None:
    with pytest.raises(UsageError, match="END"):
        heredoc("a\nEND\nb", "END")
    assert heredoc("a\n END", "END") == "a\n END"
    assert hcl("${x} %{y}") == "$${x} %%{y}"


def test_registries_are_in_it() -> None:
    spec = replace(
        WANTED.spec, buildkit=Buildkit(registries={"a.example:5": Registry(ca=("/etc/ca 1.pem",))})
    )
    assert '[registry."a.example:5"]\nca = ["/etc/ca 1.pem"]' in made("github", spec=spec).replace(
        "          ", ""
    )


# From where the tool comes


@pytest.mark.parametrize(
    "given",
    [
        TOOL,
        "https://x/provision-1.0-py3-none-any.whl",
        "provision==1.2.3",
        f"https://x/y.zip#sha256={'ab' * 32}",
    ],
)
def test_a_pinned_tool(given: str) -> None:
    assert tool.source(given) == given


@pytest.mark.parametrize(
    "given",
    [
        "provision",
        "git+https://x/y",
        "git+https://x/y@main",
        "-r x.whl",
        "a b.whl",
        "x\n.whl",
    ],
)
def test_a_tool_that_would_change(given: str) -> None:
    with pytest.raises(UsageError):
        tool.source(given)


def test_from_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = "cd" * 20

    def origin(address: str) -> str:
        (tmp_path / ".git").mkdir(exist_ok=True)
        monkeypatch.setattr(tool, "_CHECKOUT", tmp_path)
        monkeypatch.setattr(tool, "_git", lambda *words: commit if "HEAD" in words else address)
        monkeypatch.setattr(tool, "_installed", lambda: "")
        return tool.source(None)

    assert origin("https://ci:secret@git.example/p.git") == f"git+https://git.example/p.git@{commit}"
    assert origin("git@git.example:team/p.git") == f"git+https://git.example/team/p.git@{commit}"
    with pytest.raises(UsageError, match="not known"):
        origin("/somewhere/here")


def test_the_command(tmp_path: Path) -> None:
    seen = provision("export", "gitlab", "--tool", TOOL, "--platforms", "linux/amd64", cwd=tmp_path)
    assert (seen.code, seen.err) == (0, "")
    assert parsed(seen.out)["build-image"]["variables"]["REGISTRY"] == "$CI_REGISTRY"
    text = provision(
        "export", "gitlab", "--tool", TOOL, "--platforms", "linux/amd64", "--format", "json", cwd=tmp_path
    ).envelope["text"]
    assert text == seen.out
    wrong = provision("export", "jenkins", cwd=tmp_path)
    assert wrong.code == 1
    assert wrong.err.startswith('error: RECIPE must be one of "github", ')
