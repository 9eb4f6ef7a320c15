"""watch: a lab while it fails, or a run again, on one screen."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.base import whole_file
from lab.base.durations import milliseconds
from lab.base.errors import EngineError, InputError
from lab.cli.options import complete_lab, find_lab, option_output
from lab.cli.report import complete_run
from lab.engine import client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.analysis.history.events import History
    from lab.measure.probe import ProbeSpec
    from lab.topology.model import Topology
    from lab.watch.watching import Watching

SPEEDS = (0.1, 100.0)
LABS_S = 3.0
"""Between two looks which labs there are."""


def _seconds(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    """Return a duration in seconds."""
    if given is None:
        return None
    ms = milliseconds(given)
    if not ms or ms / 1000 > threading.TIMEOUT_MAX:
        raise InputError(f"--for {given}: no duration", "for example 500ms, 20s or 2m")
    return ms / 1000


def _speed(_: click.Context, __: click.Parameter, given: float | None) -> float | None:
    """Return a speed; `nan` is in every range."""
    if given is not None and isnan(given):
        raise InputError("--speed nan: no number", f"from {SPEEDS[0]} to {SPEEDS[1]:.0f}")
    return given


@click.command(
    "watch",
    epilog="Examples: halab watch 3m3w · halab watch 3m3w --url shop=http://vip:30080/"
    " · halab watch --replay last --speed 5 · halab watch 3m3w --web · halab watch --all --web"
    " · halab watch --replay last --export run.html",
)
@click.argument("labs", metavar="[LAB]...", nargs=-1, shell_complete=complete_lab)
@click.option("--all", "everything", is_flag=True, help="Show all labs on one page; needs --web.")
@click.option(
    "--replay", metavar="RUN", shell_complete=complete_run, help="Play this run again instead."
)
@click.option(
    "--speed",
    type=click.FloatRange(*SPEEDS),
    callback=_speed,
    help="Speed of a replay: 2 is twice as fast as it happened.  [default: 1]",
)
@click.option(
    "--for",
    "for_s",
    metavar="DURATION",
    callback=_seconds,
    help="End after this time, for example 30s.",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="NAME=URL",
    help="Ask a service of your own, too: http(s)://, grpc:// or tcp://, at vip, a machine or an"
    " address of the lab.",
)
@click.option("--web", is_flag=True, help="Show it on a page for browsers on this machine.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of the page, on 127.0.0.1.  [default: any that is free]",
)
@click.option(
    "--control", is_flag=True, help="Let whoever has the page's address inject faults and heal."
)
@click.option(
    "--export",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page that plays the run by itself, and end.",
)
@option_output
def watch_command(
    labs: tuple[str, ...],
    everything: bool,
    replay: str | None,
    speed: float | None,
    for_s: float | None,
    urls: tuple[str, ...],
    web: bool,
    port: int | None,
    control: bool,
    file: Path | None,
    output: str,
) -> None:
    """Show what happens in LAB now: who answers, who leads, who is fenced, what users feel.

    It goes on whatever fails. On a terminal: q quits, p pauses, the arrow keys step through the
    events; f injects a fault that two digits choose, h heals all. Without these two keys a watch
    changes nothing. Elsewhere it prints a line for each event; with `-o json` an object for each
    change. ^C ends it with exit code 0.

    With --web it prints the address of a page with the same rows and a picture of the lab; nobody
    sees it without the token in that address. The page changes nothing, unless --control lets it.
    With several labs it shows each one's health, and a click opens one.
    """
    if speed and not replay:
        raise InputError("--speed is a replay's: a lab has its own", "add --replay RUN")
    if port and not web:
        raise InputError("--port is the page's", "add --web")
    if file and (not replay or web or for_s is not None):
        raise InputError(
            "--export writes a run that is over", "add --replay RUN, without --web and --for"
        )
    if control and (replay or not web):
        raise InputError("--control is for the page of a lab", "add --web, without --replay")
    if replay:
        if labs or everything or urls:
            raise InputError("--replay plays a run by itself", "leave out the lab and --url")
        _play(replay, speed or 1.0, for_s, output, file=file, port=(port or 0) if web else None)
        return
    _check_labs(labs, everything=everything, web=web)
    with contextlib.suppress(KeyboardInterrupt):
        if everything or len(labs) > 1:
            names = None if everything else labs
            _serve_grid(names, urls, for_s, port or 0, output, control=control)
            return
        with _live(labs[0] if labs else None, urls, for_s) as watching:
            if web:
                _serve(watching, port or 0, output, control=control)
            else:
                _show(watching, output)


def _check_labs(labs: tuple[str, ...], *, everything: bool, web: bool) -> None:
    """Refuse labs that cannot be shown together."""
    if everything and labs:
        raise InputError("--all are all labs", "leave out their names, or --all")
    if (everything or len(labs) > 1) and not web:
        # A screen's rows show what fails in one lab; cut to a line each they would not.
        raise InputError(
            "a terminal shows one lab",
            "add --web: a page shows several; or open a terminal for each",
        )


def _play(
    run: str, speed: float, for_s: float | None, output: str, *, file: Path | None, port: int | None
) -> None:
    """Show a run that is over; with a port on a page."""
    if file:
        _export(run, speed, file, output)
        return
    with contextlib.suppress(KeyboardInterrupt):
        if port is not None:
            _serve_run(run, speed, port, for_s, output)
            return
        with _replay(run, speed, for_s) as watching:
            _show(watching, output)


def _show(watching: Watching, output: str) -> None:
    from lab.watch import screen
    from lab.watch import watching as watch

    if output == "text" and sys.stdout.isatty():
        from lab.watch import terminal

        terminal.show(watching)
        return
    states = watching.states(screen.ScreenSize, watch.FRAME_S)
    render = watch.json_lines if output == "json" else watch.plain_lines
    for line in render(states):
        click.echo(line)


def _tell_address(address: str, output: str) -> None:
    if output == "json":
        click.echo(json.dumps({"address": address}))
    else:
        click.echo(f"the watch is at {address} (^C ends it)")


def _serve(watching: Watching, port: int, output: str, *, control: bool) -> None:
    from lab.watch import terminal, web
    from lab.watch.broadcast import Broadcast

    broadcast = Broadcast()
    page_control = watching.control if control else None
    with web.serving(broadcast, port, page_control) as server:
        _tell_address(server.address, output)
        try:
            web.tell(watching, broadcast)
        finally:
            if page_control:
                terminal.leave(terminal.console(sys.stderr), page_control)


def _serve_grid(
    names: tuple[str, ...] | None,
    urls: tuple[str, ...],
    for_s: float | None,
    port: int,
    output: str,
    *,
    control: bool,
) -> None:
    """Show these labs on one page; with None all there are, and those that come later."""
    from lab.watch import terminal, web
    from lab.watch.lab_grid import LabGrid

    end = None if for_s is None else time.monotonic() + for_s
    followed = _all_labs() if names is None else list(names)
    for name in names or ():  # what is named and not there is an error at once
        _probes(urls, find_lab(name).topology)
    grid = LabGrid(lambda name: _live(name, urls, None), control=control)
    try:
        with web.serving(grid.broadcast, port, labs=grid.find) as server:
            grid.follow(followed)
            _tell_address(server.address, output)
            while end is None or time.monotonic() < end:
                time.sleep(LABS_S if end is None else min(LABS_S, max(0.0, end - time.monotonic())))
                if names is None:
                    with contextlib.suppress(EngineError):  # they are asked for again
                        grid.follow(_all_labs())
    finally:
        controls = grid.controls
        grid.close()
        for each in controls:
            terminal.leave(terminal.console(sys.stderr), each)


def _all_labs() -> list[str]:
    """Return the names of all labs that are whole."""
    return [name for name, held in client.connect().labs().items() if held.topology]


def _serve_run(run: str, speed: float, port: int, for_s: float | None, output: str) -> None:
    from lab.watch import recording, web

    broadcast = web.run_broadcast(recording.record(_history(run), speed))
    with web.serving(broadcast, port) as server:
        _tell_address(server.address, output)
        threading.Event().wait(for_s)


def _export(run: str, speed: float, file: Path, output: str) -> None:
    from lab.watch import page, recording

    if file.exists():
        raise _exists(file)
    content = page.with_run(recording.record(_history(run), speed)).encode()
    try:
        _write_new(file, content)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}", "name another") from None
    if output == "json":
        click.echo(json.dumps({"file": str(file), "bytes": len(content)}))
    else:
        click.echo(f"{file} plays the run in any browser ({len(content) // 1000} kB)")


def _exists(file: Path) -> InputError:
    return InputError(f"{file} exists already; it was not changed", "use another name")


def _write_new(file: Path, content: bytes) -> None:
    """Write a file that is whole or not there. Raises OSError, FileExistsError if there is one."""
    taken = False
    try:
        with whole_file.replacing(file, whole_file.USUAL) as draft:
            draft.write(content)
            file.touch(exist_ok=False)  # takes the name: a rename alone would overwrite a file
            taken = True
    except BaseException:
        if taken:
            file.unlink()
        raise


def _history(run: str) -> History:
    from lab.analysis.history import events, run_folders

    return events.read(run_folders.find(run) / run_folders.HISTORY)


@contextlib.contextmanager
def _live(lab: str | None, urls: tuple[str, ...], for_s: float | None) -> Iterator[Watching]:
    from lab.chaos.lab_faults import LabFaults
    from lab.watch.fault_control import FaultControl
    from lab.watch.feed import LiveFeed
    from lab.watch.lab_shape import shape_of
    from lab.watch.reducer import Reducer
    from lab.watch.watching import Watching

    handle = find_lab(lab)
    more = _probes(urls, handle.topology)
    with LiveFeed(handle, more) as feed:
        reducer = Reducer(shape_of(handle.topology), "live", feed.wall)
        control = FaultControl(LabFaults(handle))
        yield Watching(feed, reducer, for_s, threading.Event(), control)


@contextlib.contextmanager
def _replay(run: str, speed: float, for_s: float | None) -> Iterator[Watching]:
    from lab.watch.lab_shape import LabShape
    from lab.watch.reducer import Reducer
    from lab.watch.source import Replay, heard, wall_of
    from lab.watch.watching import Watching

    history = _history(run)
    reducer = Reducer(LabShape(""), "replay", wall_of(history))
    yield Watching(Replay(heard(history), speed), reducer, for_s, threading.Event())


def _probes(urls: tuple[str, ...], topology: Topology) -> tuple[ProbeSpec, ...]:
    from lab.measure import url_probe, user_probes

    named = [text.partition("=") for text in urls]
    for text, (_, equals, _) in zip(urls, named, strict=True):
        if not equals:
            raise InputError(f"--url {text}: no name", "for example --url shop=http://vip:30080/")
    user_probes.check_names([name for name, _, _ in named], topology)
    return tuple(url_probe.spec(name, url, topology) for name, _, url in named)
