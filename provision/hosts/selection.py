"""What `--hosts` means: names, destinations, groups and exclusions to hosts. Nothing is contacted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from provision.config import names
from provision.config.names import destination
from provision.config.values import shown
from provision.errors import UsageError, nearest
from provision.hosts import beside
from provision.spec import LOCAL, Host, Inventory

ALL = "all"

Known = Callable[[str], bool]
"""Whether a name that the file lacks means something: an SSH alias, or a name that resolves."""


def parse_selection(text: str, inventory: Inventory, known: Known | None = None) -> tuple[Host, ...]:
    """The hosts that a selection such as `pi1,ci@10.0.0.5:2222,@runners,all,!pi3` means, in its order.

    * A name of `[hosts]` is that host; `user@` and `:port` around it override its section.
    * `@group` and `all` are defined by the file. `all` includes group members that have no section.
    * Any other word is a place where `ssh` would go. A typo must not become a host that turns out to be unreachable
      after the others were changed. So `known` is asked for the name of each host without a section, of groups
      too, unless the name has a dot or is an address. A name that is not known is refused, with the nearest one.
      Without `known`, every name is accepted.
    * `!name` and `!@group` exclude, wherever they stand: under every login, or with `!user@name` under that one.
      They must name something of the file or of the selection: an exclusion with a typo would touch a host that
      the user wants to leave alone.
    * The same destination twice counts once, at its first place.

    No text means this machine. Raises UsageError.
    """
    words = text.replace(",", " ").split()
    if not words:
        if text.strip():
            raise UsageError(f"{text!r} selects no host", hint="Leave --hosts out to mean this machine.")
        return (LOCAL,)
    wanted = [word for word in words if not word.startswith("!")]
    unwanted = [word[1:] for word in words if word.startswith("!")]
    if not wanted:
        raise UsageError(
            f"{text!r} only says which hosts to leave out", hint=f"Write --hosts '{ALL},{text.strip()}'."
        )
    hosts = _unique(host for word in wanted for host in _hosts_of(word, inventory))
    excluded = [host for word in unwanted for host in _excluded(word, inventory, hosts)]
    left = tuple(host for host in hosts if not any(_covers(each, host) for each in excluded))
    if not left:
        raise UsageError(f"{text!r} selects no host", cause="every host it names is also left out")
    if known is not None:
        _refuse_unknown_names(left, inventory, known)
    return left


def members(group: str, inventory: Inventory) -> tuple[Host, ...]:
    """The hosts of a group. Raises UsageError, with the nearest name, if there is no such group."""
    if group not in inventory.groups:
        raise _unknown_name_error(f"there is no group @{group}", group, inventory.groups, "@", "groups")
    return tuple(_host(member, inventory) for member in inventory.groups[group])


def everyone(inventory: Inventory) -> tuple[Host, ...]:
    """Every host of the file: those with a section, then other members of groups."""
    grouped = (host for group in inventory.groups for host in members(group, inventory))
    return _unique((*inventory.hosts.values(), *grouped))


def _refuse_unknown_names(hosts: Iterable[Host], inventory: Inventory, known: Known) -> None:
    """Raises UsageError for the first host whose name means nothing."""
    strange = {host.address for host in hosts if not _described(host, inventory)}
    strange = {name for name in strange if "." not in name and not names.is_address(name)}
    if not strange:
        return
    # With a resolver that is down, each name takes seconds: look all up at once.
    ordered = sorted(strange)
    means = beside.each(known, ordered, most=16)
    denied = {name for name, good in zip(ordered, means, strict=True) if not good}
    for host in hosts:
        if host.address in denied:
            raise _unknown_name_error(
                f"there is no host {host.address}",
                host.address,
                inventory.hosts,
                cause="it is neither in [hosts] nor in the SSH configuration, and it does not resolve",
            )


def _described(host: Host, inventory: Inventory) -> bool:
    """Whether the file has a section for the host, under any login. A jump host may resolve other names than we do."""
    section = host.name in inventory.hosts or destination(host.name).address in inventory.hosts
    return section or host.jump is not None


def _hosts_of(word: str, inventory: Inventory) -> tuple[Host, ...]:
    if word.startswith("@"):
        return members(word[1:], inventory)
    if word == ALL:
        if not (hosts := everyone(inventory)):
            raise UsageError(
                "there are no hosts to select",
                cause="no configuration file names any",
                hint="Add [hosts.NAME] to it.",
            )
        return hosts
    return (_host(word, inventory),)


def _host(word: str, inventory: Inventory) -> Host:
    if word in inventory.hosts:
        return inventory.hosts[word]
    try:
        typed = destination(word)
    except ValueError as error:
        raise UsageError(
            f"{shown(word)} is no host: it {error}",
            hint="Write NAME, user@host:port, @group, all or !NAME.",
        ) from None
    section = inventory.hosts.get(typed.address)
    if section is None:
        return typed
    return replace(
        section,
        name=word,
        host=section.address,
        user=typed.user or section.user,
        port=typed.port or section.port,
    )


def _excluded(word: str, inventory: Inventory, hosts: Iterable[Host]) -> tuple[Host, ...]:
    if word.startswith("@"):
        return members(word[1:], inventory)
    if word == ALL:
        return everyone(inventory)
    known = {host.name: host for host in (*everyone(inventory), *hosts)}
    if word in known:
        return (known[word],)
    # `ci@10.0.0.5,!10.0.0.5`: an address is a name, too.
    found = tuple(replace(host, name=word) for host in known.values() if host.address == word)
    if not found:
        raise _unknown_name_error(f"!{word} leaves out nothing", word, known, cause="no host is called that")
    return found


def _covers(excluded: Host, host: Host) -> bool:
    """Whether an exclusion holds for a host. With a login it means that login alone, else every login there."""
    if "@" in excluded.name:
        return _identity(excluded) == _identity(host)
    return _place(excluded) == _place(host)


def _place(host: Host) -> tuple[object, ...]:
    return (host.address.lower(), host.port, host.jump)


def _unknown_name_error(
    what: str, name: str, others: Iterable[str], mark: str = "", kind: str = "hosts", *, cause: str = ""
) -> UsageError:
    known = list(others)
    near = nearest(name, known)
    if near:
        hint = f"Did you mean {mark}{near}?"
    elif known:
        some = ", ".join(mark + each for each in known[:12])
        hint = f"Known {kind}: {some}{', …' if len(known) > 12 else ''}."
    else:
        hint = f"Give its address, or describe it under [{kind}] in provision.toml; there are none yet."
    return UsageError(what, cause=cause, hint=hint)


def _identity(host: Host) -> tuple[object, ...]:
    """Two words with the same identity are one host: the same destination, wanted in the same way."""
    return (*_place(host), host.user, host.platforms, host.interpreters)


def _unique(hosts: Iterable[Host]) -> tuple[Host, ...]:
    first: dict[object, Host] = {}
    for host in hosts:
        first.setdefault(_identity(host), host)
    return tuple(first.values())
