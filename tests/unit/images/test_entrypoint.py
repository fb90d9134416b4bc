"""What an image starts: followed through PATH, links and scripts to a program, its loader and its libraries."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pytest

from provision import elf
from provision.architectures import of_platform
from provision.images import layer as layers
from provision.images import libraries
from provision.images.entrypoint import Verdict, judge
from provision.images.manifest import Configuration
from provision.images.tree import NeedMoreError, Tree
from tests.lab.elves import dynamic
from tests.lab.images import File, archive

ARM64 = "linux/arm64"
LD = "/lib/ld-linux-aarch64.so.1"
MUSL = "/lib/ld-musl-aarch64.so.1"


def static(platform: str = ARM64) -> bytes:
    return elf.probe(of_platform(platform))


def elf_file(data: bytes) -> File:
    return File(content=data)


def text(words: str, mode: int = 0o755) -> File:
    return File(content=words.encode(), mode=mode)


def tree_of(*oldest_first: Mapping[str, File], complete: bool = True) -> Tree:
    tree = Tree()
    for files in reversed(oldest_first):
        tree.add(layers.read(io.BytesIO(archive(files))))
    tree.complete = complete
    return tree


def verdict(
    files: Mapping[str, File],
    entrypoint: Sequence[str] = ("/app",),
    *,
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: str = "/",
    platform: str = ARM64,
) -> Verdict:
    configuration = Configuration(
        platform=platform,
        entrypoint=tuple(entrypoint),
        command=tuple(command),
        environment=environment or {},
        folder=folder,
    )
    return judge(tree_of(files), configuration, platform)


def only(found: Verdict) -> tuple[str, str]:
    """The one finding's id and evidence."""
    (finding,) = found.findings
    assert finding.platform == ARM64
    return finding.id, finding.evidence


def test_a_static_program() -> None:
    assert verdict({"app": elf_file(static())}) == Verdict(chain=("/app",))


def test_the_command_counts_where_there_is_no_entrypoint() -> None:
    files = {"app": elf_file(static()), "other": elf_file(static("linux/amd64"))}
    assert verdict(files, (), command=("/app",)).findings == ()
    assert verdict(files, ("/app",), command=("/other",)).findings == ()
    assert only(verdict(files, ()))[0] == "entrypoint-none"


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm/v7", "linux/s390x", "linux/386"])
def test_another_architecture(platform: str) -> None:
    name = platform.split("/")[1]
    found = verdict({"app": elf_file(static(platform))})
    assert only(found) == ("entrypoint-architecture", f"/app is of {name}, the image is for {ARM64}")
    assert found.named == {"/app"}


def test_variants_are_of_one_architecture() -> None:
    for platform in ("linux/arm/v6", "linux/arm/v7"):
        assert verdict({"app": elf_file(static("linux/arm/v7"))}, platform=platform).findings == ()


def test_a_machine_of_no_table() -> None:
    data = bytearray(static())
    data[18:20] = (4242).to_bytes(2, "little")
    assert only(verdict({"app": elf_file(bytes(data))}))[1].startswith("/app is of machine 4242 of 64 bits")


def test_path_of_the_image_and_the_usual_one() -> None:
    files = {"usr/local/bin/app": elf_file(static()), "opt/x/app": elf_file(static())}
    assert verdict(files, ("app",)).chain == ("/usr/local/bin/app",)
    assert verdict(files, ("app",), environment={"PATH": "/none:/opt/x:/usr/local/bin"}).chain == (
        "/opt/x/app",
    )
    assert verdict(files, ("app",), environment={"PATH": "x"}, folder="/opt").chain == ("/opt/x/app",)
    name, evidence = only(verdict(files, ("app",), environment={"PATH": "/none"}))
    assert (name, evidence) == ("entrypoint-missing", "app is not in the image; PATH is /none")


def test_what_is_not_executable_is_passed_over_on_path() -> None:
    files = {"usr/local/bin/app": text("", 0o644), "bin/app": elf_file(static())}
    assert verdict(files, ("app",)).chain == ("/bin/app",)
    del files["bin/app"]
    assert only(verdict(files, ("app",))) == ("entrypoint-mode", "/usr/local/bin/app is not executable")


def test_a_relative_path_begins_in_the_working_folder() -> None:
    assert verdict({"srv/bin/app": elf_file(static())}, ("./bin/app",), folder="/srv").findings == ()


def test_links_are_followed() -> None:
    files = {"app": File(link="bin/real"), "bin": File(link="usr/bin"), "usr/bin/real": elf_file(static())}
    assert verdict(files).chain == ("/usr/bin/real",)


def test_a_link_to_nothing_and_a_circle() -> None:
    assert only(verdict({"app": File(link="/gone")}))[0] == "entrypoint-missing"
    assert only(verdict({"app": File(link="b"), "b": File(link="app")})) == (
        "entrypoint-links",
        "/app: links lead round in a circle",
    )


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        (File(folder=True), "entrypoint-mode", "/app is a folder"),
        (File(content=b"\x7fELF", mode=0o644), "entrypoint-mode", "/app is not executable"),
        (File(), "entrypoint-format", "/app is empty"),
        (text("echo no first line"), "entrypoint-format", "/app is neither"),
        (text("#!\n"), "entrypoint-format", "/app is a script whose first line names no interpreter"),
        (File(content=b"\x7fELF\x02\x01"), "entrypoint-format", "/app is an ELF file that is cut short"),
        (
            File(content=dynamic(ARM64, type_=1)),
            "entrypoint-format",
            "/app is an ELF file that is no program",
        ),
    ],
)
def test_what_cannot_be_started(file: File, name: str, words: str) -> None:
    found, evidence = only(verdict({"app": file}))
    assert (found, evidence[: len(words)]) == (name, words)


def test_scripts_lead_to_their_interpreter() -> None:
    files = {"app": text("#! /bin/sh -e\nexec x"), "bin/sh": elf_file(static())}
    assert verdict(files).chain == ("/app", "/bin/sh")
    files["bin/sh"] = elf_file(static("linux/amd64"))
    assert only(verdict(files))[0] == "entrypoint-architecture"
    files["bin/sh"] = text("", 0o644)
    assert only(verdict(files)) == ("entrypoint-mode", "/app wants /bin/sh, which is not executable")
    del files["bin/sh"]
    assert only(verdict(files)) == ("interpreter-missing", "/app wants /bin/sh, which is not in the image")


def test_a_script_from_windows() -> None:
    found = verdict({"app": text("#!/bin/sh\r\n"), "bin/sh": elf_file(static())})
    assert only(found) == ("interpreter-missing", r"/app wants '/bin/sh\r', which is not in the image")


def test_a_script_of_a_script_and_one_that_has_no_end() -> None:
    files = {"app": text("#!/b"), "b": text("#!/c"), "c": elf_file(static())}
    assert verdict(files).chain == ("/app", "/b", "/c")
    assert only(verdict({"app": text("#!/app")}))[0] == "entrypoint-format"


def test_env_leads_on_by_path() -> None:
    files = {
        "app": text("#!/usr/bin/env -S A=b python3 -u\n"),
        "usr/bin/env": elf_file(static()),
        "opt/bin/python3": elf_file(static()),
    }
    path = {"PATH": "/usr/bin:/opt/bin"}
    assert verdict(files, environment=path).chain == ("/app", "/usr/bin/env", "/opt/bin/python3")
    name, evidence = only(verdict(files))
    assert name == "interpreter-missing"
    assert evidence.startswith("/app wants python3 by /usr/bin/env; PATH is /usr/local/sbin:")
    files["opt/bin/python3"] = elf_file(static("linux/amd64"))
    assert only(verdict(files, environment=path))[0] == "entrypoint-architecture"


def test_a_busybox_is_its_own_env() -> None:
    files = {
        "app": text("#!/usr/bin/env sh\n"),
        "bin/busybox": elf_file(static()),
        "usr/bin/env": File(link="/bin/busybox"),
        "bin/sh": File(hard="bin/busybox"),
    }
    assert verdict(files).chain == ("/app", "/bin/busybox", "/bin/sh")


def glibc(**changes: File) -> dict[str, File]:
    """A dynamic program with a library of a library, in the folders of Debian."""
    lib = "usr/lib/aarch64-linux-gnu"
    files = {
        "lib": File(link="usr/lib"),
        "usr/lib/ld-linux-aarch64.so.1": File(link="aarch64-linux-gnu/ld-2.36.so"),
        f"{lib}/ld-2.36.so": elf_file(dynamic(ARM64)),
        f"{lib}/libone.so.1": elf_file(dynamic(ARM64, needed=("libtwo.so.2", "libc.so.6"))),
        f"{lib}/libtwo.so.2": File(link="libtwo.so.2.9"),
        f"{lib}/libtwo.so.2.9": elf_file(dynamic(ARM64)),
        f"{lib}/libc.so.6": elf_file(dynamic(ARM64)),
        "app": elf_file(dynamic(ARM64, interpreter=LD, needed=("libone.so.1", "libc.so.6"))),
    }
    return {**files, **changes}


def test_a_dynamic_program_with_all_its_libraries() -> None:
    assert verdict(glibc()) == Verdict(chain=("/app",), libraries=3)


def test_the_loader_is_missing_or_of_another_architecture() -> None:
    found = verdict({"app": elf_file(dynamic(ARM64, interpreter=LD))})
    assert only(found) == ("loader-missing", f"/app wants {LD}, which is not in the image")
    amd64 = elf_file(dynamic("linux/amd64"))
    found = verdict(glibc(**{"usr/lib/aarch64-linux-gnu/ld-2.36.so": amd64}))
    assert only(found) == ("loader-missing", f"/app wants {LD}, which is of amd64")
    assert found.named == {"/usr/lib/aarch64-linux-gnu/ld-2.36.so"}


def test_a_library_of_a_library_is_missing() -> None:
    files = glibc()
    del files["usr/lib/aarch64-linux-gnu/libtwo.so.2.9"]
    (finding,) = verdict(files).findings
    assert finding.id == "library-missing"
    assert finding.evidence == "/usr/lib/aarch64-linux-gnu/libone.so.1 wants libtwo.so.2"


def test_a_library_of_another_architecture_does_not_count() -> None:
    path = "usr/lib/aarch64-linux-gnu/libtwo.so.2.9"
    found = verdict(glibc(**{path: elf_file(dynamic("linux/amd64"))}))
    assert only(found)[1].endswith(f"wants libtwo.so.2: /{path} is of another architecture")
    assert found.named == {f"/{path}"}
    # A loader goes on looking, and there is another one.
    right = {path: elf_file(dynamic("linux/amd64")), "usr/lib/libtwo.so.2": elf_file(dynamic(ARM64))}
    assert verdict(glibc(**right)).findings == ()


@pytest.mark.parametrize(
    ("paths", "place", "found"),
    [
        ({"rpath": "/opt/lib"}, "opt/lib/libx.so", True),
        ({"runpath": "/none:/opt/lib"}, "opt/lib/libx.so", True),
        ({"rpath": "/opt/lib", "runpath": "/none"}, "opt/lib/libx.so", False),
        ({"runpath": "$ORIGIN/../lib"}, "srv/lib/libx.so", True),
        ({"rpath": "${ORIGIN}"}, "srv/bin/libx.so", True),
        ({"runpath": "/opt/$LIB"}, "opt/lib/aarch64-linux-gnu/libx.so", True),
        ({"runpath": "/opt/$LIB"}, "opt/lib64/libx.so", True),
        ({"runpath": "/opt/$PLATFORM"}, "opt/aarch64/libx.so", False),
        ({}, "usr/lib/libx.so", True),
        ({}, "lib64/libx.so", True),
        ({}, "opt/lib/libx.so", False),
    ],
)
def test_where_libraries_are_looked_for(paths: dict[str, str], place: str, found: bool) -> None:
    program = dynamic(ARM64, interpreter=LD, needed=("libx.so",), **paths)  # type: ignore[arg-type]
    files = glibc(**{"srv/bin/app": elf_file(program), place: elf_file(dynamic(ARM64))})
    assert (verdict(files, ("/srv/bin/app",)).findings == ()) is found


@pytest.mark.parametrize(("paths", "inherited"), [({"rpath": "/opt"}, True), ({"runpath": "/opt"}, False)])
def test_only_rpath_holds_for_libraries_of_libraries(paths: dict[str, str], inherited: bool) -> None:
    program = dynamic(ARM64, interpreter=LD, needed=("liba.so",), **paths)  # type: ignore[arg-type]
    files = glibc(
        **{
            "app": elf_file(program),
            "opt/liba.so": elf_file(dynamic(ARM64, needed=("libb.so",))),
            "opt/libb.so": elf_file(dynamic(ARM64)),
        }
    )
    assert (verdict(files).findings == ()) is inherited


def test_ld_library_path_of_the_image() -> None:
    program = dynamic(ARM64, interpreter=LD, needed=("libx.so",))
    files = glibc(**{"app": elf_file(program), "opt/libx.so": elf_file(dynamic(ARM64))})
    assert verdict(files, environment={"LD_LIBRARY_PATH": "/none:/opt"}).findings == ()


def test_ld_so_conf_with_its_includes() -> None:
    program = dynamic(ARM64, interpreter=LD, needed=("libx.so", "liby.so"))
    files = glibc(
        **{
            "app": elf_file(program),
            "opt/x/libx.so": elf_file(dynamic(ARM64)),
            "opt/y/liby.so": elf_file(dynamic(ARM64)),
            "etc/ld.so.conf": text("# ours\ninclude ld.so.conf.d/*.conf\n/opt/y # here\n", 0o644),
            "etc/ld.so.conf.d/x.conf": text("/opt/x\n", 0o644),
        }
    )
    assert verdict(files).findings == ()
    del files["etc/ld.so.conf.d/x.conf"]
    assert only(verdict(files))[1] == "/app wants libx.so"


def test_ld_so_conf_that_includes_itself() -> None:
    assert verdict(glibc(**{"etc/ld.so.conf": text("include /etc/ld.so.conf\n", 0o644)})).findings == ()


def test_ld_so_conf_that_includes_itself_in_every_line() -> None:
    """Followed each time, its 1800 lines would be 1800 to the fifth."""
    lines = "".join(f"include /etc/ld.so.con{mark}\n" for mark in "f?*" * 600) + "/opt\n"
    program = dynamic(ARM64, interpreter=LD, needed=("libx.so",))
    files = glibc(**{"app": elf_file(program), "opt/libx.so": elf_file(dynamic(ARM64))})
    assert verdict({**files, "etc/ld.so.conf": text(lines, 0o644)}).findings == ()


def test_libraries_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_MOST_PLACES", 10)
    assert only(verdict(glibc())) == ("layer-hostile", "/app has libraries without end")


def musl(**changes: File) -> dict[str, File]:
    program = dynamic(ARM64, interpreter=MUSL, needed=("libx.so", "libc.musl-aarch64.so.1"))
    return {"lib/ld-musl-aarch64.so.1": elf_file(dynamic(ARM64)), "app": elf_file(program), **changes}


@pytest.mark.parametrize("place", ["lib", "usr/local/lib", "usr/lib"])
def test_musl_looks_in_its_folders_and_is_its_own_libc(place: str) -> None:
    found = verdict(musl(**{f"{place}/libx.so": elf_file(dynamic(ARM64))}))
    assert (found.findings, found.libraries) == ((), 1)


def test_musl_does_not_look_elsewhere() -> None:
    elsewhere = {"lib64/libx.so": elf_file(dynamic(ARM64)), "etc/ld.so.conf": text("/lib64\n", 0o644)}
    assert only(verdict(musl(**elsewhere)))[1] == "/app wants libx.so"


def test_musl_has_a_file_of_its_own() -> None:
    files = musl(**{"opt/libx.so": elf_file(dynamic(ARM64))})
    files["etc/ld-musl-aarch64.path"] = text("/opt\n/lib\n", 0o644)
    assert verdict(files).findings == ()


def test_musl_inherits_runpath() -> None:
    program = dynamic(ARM64, interpreter=MUSL, needed=("liba.so",), runpath="/opt")
    files = musl(
        **{
            "app": elf_file(program),
            "opt/liba.so": elf_file(dynamic(ARM64, needed=("libb.so",))),
            "opt/libb.so": elf_file(dynamic(ARM64)),
        }
    )
    assert verdict(files).findings == ()


def test_libraries_that_need_each_other() -> None:
    program = dynamic(ARM64, interpreter=LD, needed=("liba.so",))
    files = glibc(
        **{
            "app": elf_file(program),
            "lib64/liba.so": elf_file(dynamic(ARM64, needed=("libb.so",))),
            "lib64/libb.so": elf_file(dynamic(ARM64, needed=("liba.so",))),
        }
    )
    assert verdict(files).libraries == 2


def test_older_layers_are_asked_for_only_when_they_matter() -> None:
    configuration = Configuration(platform=ARM64, entrypoint=("/app",))
    assert judge(tree_of({"app": elf_file(static())}, complete=False), configuration, ARM64).findings == ()
    dynamic_one = elf_file(dynamic(ARM64, interpreter=LD))
    with pytest.raises(NeedMoreError):
        judge(tree_of({"app": dynamic_one}, complete=False), configuration, ARM64)
    with pytest.raises(NeedMoreError):
        judge(tree_of({"b": dynamic_one}, complete=False), configuration, ARM64)
