"""What a container of an image starts: the file that is executed at last, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from provision.architectures import of_identity
from provision.elf import ET_DYN, ET_EXEC
from provision.images.faults import FaultError, finding
from provision.images.layer import SPARSE, Program
from provision.images.libraries import Loader, lacking
from provision.images.manifest import Configuration
from provision.images.tree import CircleError, Found, Tree
from provision.result import Finding

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the image sets none (containerd, pkg/oci: defaultUnixEnv)."""
_DEEPEST: Final = 5
"""Scripts whose interpreter is a script: the kernel's own limit (fs/exec.c, exec_binprm)."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found out about what an image starts."""

    chain: tuple[str, ...] = ()
    """The file that is named, then the interpreter of each script, each without links."""
    libraries: int | None = None
    """How many a dynamic program has; None: it is static."""
    findings: tuple[Finding, ...] = ()
    named: frozenset[str] = field(default_factory=frozenset)
    """Paths that the findings are about."""


@dataclass(frozen=True, kw_only=True)
class _Image:
    tree: Tree
    configuration: Configuration
    platform: str

    @property
    def environment(self) -> Mapping[str, str]:
        return self.configuration.environment


def judge(tree: Tree, configuration: Configuration, platform: str) -> Verdict:
    """The verdict on Entrypoint, else Cmd. Raises NeedMoreError while the image is not known far enough."""
    words = configuration.entrypoint or configuration.command
    if not words:
        return Verdict(findings=(finding("entrypoint-none", "it has neither Entrypoint nor Cmd", platform),))
    image = _Image(tree=tree, configuration=configuration, platform=platform)
    chain: list[Found] = []
    try:
        _follow(image, words[0], chain)
    except FaultError as fault:
        paths = tuple(found.path for found in chain)
        return Verdict(
            chain=paths,
            findings=(finding(fault.name, fault.evidence, platform),),
            named=frozenset(paths[-1:]),
        )
    verdict = Verdict(chain=tuple(dict.fromkeys(found.path for found in chain)))
    for found in {each.path: each for each in chain if each.entry.program}.values():
        linked = _linked(image, found)
        verdict = replace(
            verdict,
            libraries=linked.libraries,
            findings=(*verdict.findings, *linked.findings),
            named=verdict.named | linked.named,
        )
    return verdict


def _follow(image: _Image, word: str, chain: list[Found]) -> None:
    """From a word of the configuration to the program. Raises FaultError where the way ends."""
    found = _executable(image, word)
    chain.append(found)
    for _ in range(_DEEPEST):
        entry = found.entry
        if entry.program is not None:
            return _fits(image, found, entry.program)
        if entry.start == SPARSE:
            raise FaultError("layer-unread", f"{found.path} is stored as a sparse file")
        words = _shebang(entry.start)
        if not words:
            raise FaultError("entrypoint-format", f"{found.path} is {_described(found)}")
        script, found = found, _interpreter(image, found, words[0])
        chain.append(found)
        if found.entry.program is None or not re.search(r"/env$", words[0]):
            continue
        # `#!/usr/bin/env python3`: env is a program of its own, and then starts another one.
        _fits(image, found, found.entry.program)
        name = _behind_env(words[1:])
        if not name:
            return None
        found = _on_path(image, name, f"{script.path} wants {name} by {words[0]}", "interpreter-missing")
        chain.append(found)
    raise FaultError("entrypoint-format", f"{chain[0].path} has more than {_DEEPEST} interpreters in a row")


def _executable(image: _Image, word: str) -> Found:
    if "/" not in word:
        return _on_path(image, word, f"{word} is not in the image", "entrypoint-missing")
    path = word if word.startswith("/") else f"{image.configuration.folder}/{word}"
    found = _find(image, path)
    if found is None or found.entry.kind == "other":
        raise FaultError("entrypoint-missing", f"{path} is not in the image")
    if found.entry.kind == "directory" or not found.entry.executable:
        what = "a folder" if found.entry.kind == "directory" else "not executable"
        raise FaultError("entrypoint-mode", f"{_led(path, found)} is {what}")
    return found


def _find(image: _Image, path: str) -> Found | None:
    try:
        return image.tree.find(path)
    except CircleError:
        raise FaultError("entrypoint-links", f"{path}: links lead round in a circle") from None


def _on_path(image: _Image, name: str, evidence: str, fault: str) -> Found:
    """As execvp(3) and Go's LookPath: the first file of that name that is executable."""
    path = image.environment.get("PATH", DEFAULT_PATH)
    passed = ""
    for folder in path.split(":"):
        place = (
            f"{folder}/{name}" if folder.startswith("/") else f"{image.configuration.folder}/{folder}/{name}"
        )
        found = _find(image, place)
        if found and found.entry.kind == "file":
            if found.entry.executable:
                return found
            passed = passed or found.path
    if passed:
        raise FaultError("entrypoint-mode", f"{passed} is not executable")
    raise FaultError(fault, f"{evidence}; PATH is {path}")


def _led(path: str, found: Found) -> str:
    return path if path == found.path else f"{path}, which leads to {found.path},"


def _described(found: Found) -> str:
    start = found.entry.start
    if not start:
        return "empty" if found.entry.start == b"" and found.entry.kind == "file" else "no program"
    if start.startswith(b"#!"):
        return "a script whose first line names no interpreter"
    if start.startswith(b"\x7fELF"):
        return "an ELF file that is cut short"
    return "neither an ELF file nor a script with a #! line"


def _shebang(start: bytes) -> list[str]:
    """The interpreter and its argument, as the kernel reads them (fs/binfmt_script.c); empty: it is no script."""
    if not start.startswith(b"#!"):
        return []
    line = start[2:].partition(b"\n")[0].strip(b" \t").decode(errors="replace")
    return re.split(r"[ \t]+", line, maxsplit=1) if line else []


def _behind_env(arguments: Iterable[str]) -> str:
    """The program that env(1) starts: what is neither an option nor a variable."""
    for word in " ".join(arguments).split():
        if not word.startswith("-") and "=" not in word:
            return word
    return ""


def _interpreter(image: _Image, script: Found, path: str) -> Found:
    # A carriage return belongs to the name: a script from Windows wants "/bin/sh\r".
    shown = repr(path) if not path.isprintable() else path
    place = path if path.startswith("/") else f"{image.configuration.folder}/{path}"
    found = _find(image, place)
    if found is None or found.entry.kind != "file":
        raise FaultError("interpreter-missing", f"{script.path} wants {shown}, which is not in the image")
    if not found.entry.executable:
        raise FaultError("entrypoint-mode", f"{script.path} wants {shown}, which is not executable")
    return found


def name_of(program: Program) -> str:
    """The architecture of an ELF file, as platforms name it."""
    row = of_identity(program.bits, program.big_endian, program.machine)
    return row.name if row else f"machine {program.machine} of {program.bits} bits"


def _fits(image: _Image, found: Found, program: Program) -> None:
    if name_of(program) != image.platform.split("/")[1]:
        raise FaultError(
            "entrypoint-architecture",
            f"{found.path} is of {name_of(program)}, the image is for {image.platform}",
        )
    if program.type not in (ET_EXEC, ET_DYN):
        raise FaultError("entrypoint-format", f"{found.path} is an ELF file that is no program")


def _linked(image: _Image, found: Found) -> Verdict:
    """Its loader and libraries."""
    program = found.entry.program
    if program is None or not program.linking.interpreter:
        return Verdict()
    wanted = program.linking.interpreter
    try:
        loader = image.tree.find(wanted)
    except CircleError:
        loader = None
    if loader is None or loader.entry.program is None:
        evidence = f"{found.path} wants {wanted}, which is not in the image"
        return Verdict(findings=(finding("loader-missing", evidence, image.platform),))
    if name_of(loader.entry.program) != name_of(program):
        evidence = f"{found.path} wants {wanted}, which is of {name_of(loader.entry.program)}"
        return Verdict(
            findings=(finding("loader-missing", evidence, image.platform),), named=frozenset((loader.path,))
        )
    name = wanted.rpartition("/")[2]
    way = Loader(tree=image.tree, path=loader.path, name=name, environment=image.environment)
    try:
        lacks, number = lacking(way, found)
    except FaultError as fault:
        return Verdict(findings=(finding(fault.name, fault.evidence, image.platform),))
    return Verdict(
        libraries=number,
        findings=tuple(
            finding(
                "library-missing",
                f"{lack.wanted_by} wants {lack.name}"
                + (f": {', '.join(lack.others)} is of another architecture" if lack.others else ""),
                image.platform,
            )
            for lack in lacks
        ),
        named=frozenset(path for lack in lacks for path in lack.others),
    )
