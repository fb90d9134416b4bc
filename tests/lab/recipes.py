"""What a CI system makes of an exported file: its shell lines in their order, each script as that system runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ruamel.yaml import YAML

ENVIRONMENT: Final = ("IMAGE", "REGISTRY", "REGISTRY_USER", "REGISTRY_PASSWORD")
SECRETS: Final = re.compile(r"\$\{\{ (?:secrets|github)\.(\w+) \}\}|\$(CI_REGISTRY\w*)")


@dataclass(frozen=True, kw_only=True)
class Script:
    """`variables` as the file has them. `when`: whether an earlier one has to have succeeded, or failed."""

    name: str
    text: str
    variables: Mapping[str, str] = field(default_factory=dict)
    when: Literal["success", "failure", "always"] = "success"


def parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def scripts(recipe: str, text: str) -> list[Script]:
    """The shell scripts of a file, without the actions of others."""
    return list(_READERS[recipe](text))


def _github(text: str) -> Iterator[Script]:
    document = parsed(text)
    steps = document if isinstance(document, list) else document["jobs"]["image"]["steps"]
    for step in steps:
        if "run" in step:
            yield Script(
                name=step["name"],
                text=step["run"],
                variables=step.get("env", {}),
                when="failure" if step.get("if") == "failure()" else "success",
            )


def _gitlab(text: str) -> Iterator[Script]:
    """GitLab runs before_script and script in one shell, and after_script in another, which knows CI_JOB_STATUS."""
    job = parsed(text)["build-image"]
    variables = job["variables"]
    yield Script(
        name="script",
        text="set -e\n" + "\n".join([*job["before_script"], *job["script"]]),
        variables=variables,
    )
    yield Script(
        name="after_script",
        text="\n".join(job["after_script"]),
        variables=variables,
        when="always",
    )


def _woodpecker(text: str) -> Iterator[Script]:
    """One script with `set -e`; variables are put in beforehand, and `$$` is a dollar."""
    (step,) = parsed(text)["steps"]
    lines = "\n".join(step["commands"])
    assert not re.search(r"(?<!\$)\$\{", lines), "Woodpecker would put a variable of its own in"
    variables = {name: value for name, value in step["environment"].items() if isinstance(value, str)}
    yield Script(name="image", text="set -e\n" + lines.replace("$${", "${"), variables=variables)


def _travis(text: str) -> Iterator[Script]:
    document = parsed(text)
    variables = dict(each.split("=", 1) for each in document["env"]["global"])
    for phase in ("install", "before_script", "script", "after_failure"):
        yield Script(
            name=phase,
            text="\n".join(document[phase]),
            variables=variables,
            when="failure" if phase == "after_failure" else "success",
        )


def _cloud_init(text: str) -> Iterator[Script]:
    (file,) = parsed(text)["write_files"]
    yield Script(name="first boot", text=file["content"])


def _shell(text: str) -> Iterator[Script]:
    yield Script(name="bake", text=text)


_READERS: Final = {
    "github": _github,
    "github-steps": _github,
    "gitlab": _gitlab,
    "woodpecker": _woodpecker,
    "travis": _travis,
    "cloud-init": _cloud_init,
    "shell": _shell,
}
