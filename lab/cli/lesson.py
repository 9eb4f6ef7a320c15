"""lesson: learn high availability on a lab of your own, step by step."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lab.base.errors import InputError, WaitTimeout
from lab.base.wait import Observation, tried, until
from lab.cli.fault import seconds
from lab.cli.options import complete_lab, find_lab, load_topology, option_output
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.lessons.model import Lesson
    from lab.lessons.record import LessonProgress
    from lab.live.lab import Lab

EXIT_FAIL = 4
WHOLE_S = 30.0
"""How long a lab may take to be whole when a lesson begins: a leader is elected, a node reports."""


def complete_lesson(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of lessons."""
    from lab.lessons import catalog

    return [name for name in catalog.shipped() if name.startswith(incomplete)]


def option_lab(function: Any) -> Any:  # noqa: ANN401 (a decorator)
    """Add `--lab`."""
    return click.option(
        "--lab",
        default="",
        metavar="LAB",
        shell_complete=complete_lab,
        help="The lesson's lab; default: that of the lesson you worked on last.",
    )(function)


def options_of_the_lab(what: str) -> Callable[[Any], Any]:
    """Return what adds `--lab`, which `what` explains, and the options for a lab that is made."""
    options = (
        click.option(
            "--lab",
            default="",
            metavar="LAB",
            shell_complete=complete_lab,
            help=f"{what}; default: the one named as the lesson's topology.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="If the lab is made: change one value of its topology.",
        ),
        click.option(
            "--distribution", default="", metavar="D", help="If it is made: k3s or upstream."
        ),
    )

    def add(function: Any) -> Any:  # noqa: ANN401 (a decorator)
        for option in reversed(options):
            function = option(function)
        return function

    return add


@click.group("lesson", epilog="Example: halab lesson start vip-moves")
def lesson_command() -> None:
    """Learn high availability step by step, in your own shell, on a lab of your own.

    A lesson says what to do and what to look at; `check` looks at the lab by itself. Progress is
    kept, for each lab and lesson.
    """


@lesson_command.command("list", epilog="Example: halab lesson list")
@option_output
def list_lessons(output: str) -> None:
    """List the lessons, what each trains, and how far you are.

    That is in the lab in which you worked on the lesson last.
    """
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import catalog, record

    lessons = [catalog.find(name) for name in catalog.shipped()]
    known = record.all_of()
    states = {one.lesson: one for one in reversed(known)}
    if output == "json":
        out.answer([lesson_output.plain(lesson, states.get(lesson.name)) for lesson in lessons])
        return
    rows = [
        [
            lesson.name,
            f"{lesson.minutes} min",
            lesson.title,
            "; ".join(lesson.trains),
            lesson_output.state(lesson, states.get(lesson.name)),
        ]
        for lesson in lessons
    ]
    out.wrapped(["LESSON", "TAKES", "WHAT IT IS ABOUT", "TRAINS", "YOU"], rows)


@lesson_command.command(
    "start",
    epilog="Examples: halab lesson start vip-moves"
    " · halab lesson start split-brain --lab anna --set network.subnet=auto",
)
@click.argument("name", shell_complete=complete_lesson)
@options_of_the_lab("The lab to use, or to make")
@option_output
def start(name: str, lab: str, overrides: tuple[str, ...], distribution: str, output: str) -> None:
    """Start a lesson, and make its lab if there is none; or go on where you stopped.

    Before it begins, what an earlier try may have left in the lab is removed.
    """
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import catalog, desk, record

    lesson = catalog.find(name)
    with out.Progress(f"lesson {lesson.name}") as progress:
        handle = _ready(lesson, lab, overrides, distribution, progress)
        with record.locked(handle.name):
            mine = record.read(handle.name, lesson.name)
            if mine is None or mine.step >= len(lesson.steps):
                _refuse_broken(handle, progress)
                desk.clean(handle, lesson)
                mine = desk.begin(handle, lesson)
            record.write(mine)
    if output == "json":
        out.answer(lesson_output.step_answer(handle, lesson, mine))
        return
    if mine.step == 0:
        click.echo(f"{lesson.title} ({lesson.minutes} minutes)\n\n{lesson.objective}\n")
        click.echo(f"It trains {'; '.join(lesson.trains)}.\n")
        click.echo(lesson_output.named(handle, lesson.text) + "\n")
    lesson_output.show_step(handle, lesson, mine)


def _ready(
    lesson: Lesson, name: str, overrides: tuple[str, ...], distribution: str, progress: Reporter
) -> Lab:
    """Return the lesson's lab, made if there is none. Raises InputError if it cannot be."""
    from lab.lessons import desk
    from lab.lifecycle.start import start as start_lab
    from lab.live.lab import Lab

    connected = client.connect()
    topology = load_topology(lesson.topology, (*lesson.overrides, *overrides), name)
    if topology.name in connected.labs():
        if overrides or distribution:
            what = f"lab {topology.name} exists: --set and --distribution are for one that is made"
            raise InputError(what, "leave them out, or give another name by --lab")
        handle = find_lab(topology.name, progress)
        desk.fits(handle, topology)
        return handle
    handle = Lab(connected, topology, progress)
    start_lab(handle, distribution)
    return find_lab(handle.name, progress)


def _refuse_broken(lab: Lab, reporter: Reporter) -> None:
    """Raise InputError if a lesson cannot begin in a lab because the lab stays broken."""
    from lab.live import steady_state

    def look() -> Observation:
        return tried(lambda: steady_state.steady(lab))

    def say(text: str) -> None:
        reporter.say(lab.name, text)

    try:
        until(f"lab {lab.name} is whole", look, timeout_s=WHOLE_S, on_change=say)
    except WaitTimeout as error:
        hint_ = f"`halab fault heal {lab.name}`, then `halab start {lab.name}`"
        raise InputError(f"lab {lab.name} is not whole: {error.last}", hint_) from None


@lesson_command.command("next", epilog="Example: halab lesson next")
@option_lab
@click.option("--skip", is_flag=True, help="Leave this step out, though its checks do not pass.")
@option_output
def go_on(lab: str, skip: bool, output: str) -> None:
    """Go to the next step; after the last one, show what your lab did beside the report.

    Then the lab is made whole: faults are healed, and what the lesson made is removed.
    """
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import desk, record

    handle, lesson, mine = _current(lab)
    with record.locked(handle.name):
        desk.go_on(handle, lesson, mine, skip=skip)
        record.write(mine)
    if output == "json":
        out.answer(lesson_output.step_answer(handle, lesson, mine))
    else:
        lesson_output.show_step(handle, lesson, mine)
    if mine.step < len(lesson.steps):
        return
    # After the figures: they may be of a lab that is still broken.
    with out.Progress(f"ending {lesson.name}") as progress, record.locked(handle.name):
        desk.restore(handle, lesson, progress)


@lesson_command.command("show", epilog="Examples: halab lesson show · halab lesson show vip-moves")
@click.argument("name", required=False, shell_complete=complete_lesson)
@option_lab
@option_output
def show(name: str | None, lab: str, output: str) -> None:
    """Show the step you are at, or all the text of lesson NAME."""
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import catalog

    if name:
        lesson = catalog.find_or_load(name)
        if output == "json":
            out.answer(lesson_output.plain(lesson, None))
            return
        click.echo(f"{lesson.title} ({lesson.minutes} minutes)\n\n{lesson.objective}\n")
        parts = [lesson.text, *(f"{step.name}\n\n{step.text}" for step in lesson.steps)]
        click.echo("\n\n".join(parts))
        return
    handle, lesson, mine = _current(lab)
    if output == "json":
        out.answer(lesson_output.step_answer(handle, lesson, mine))
    else:
        lesson_output.show_step(handle, lesson, mine)


@lesson_command.command("hint", epilog="Example: halab lesson hint")
@option_lab
@option_output
def give_hint(lab: str, output: str) -> None:
    """Give the next hint for this step, from a nudge to the whole answer."""
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import desk, record

    handle, lesson, mine = _current(lab)
    with record.locked(handle.name):
        number, text = desk.next_hint(lesson, mine)
        record.write(mine)
    of = len(desk.step_of(lesson, mine).hints)
    text = lesson_output.named(handle, text)
    if output == "json":
        out.answer({"hint": number, "of": of, "text": text})
    else:
        click.echo(f"hint {number} of {of}: {text}")
        if number == of:
            hint("that is the last one; `halab lesson next --skip` leaves the step out")


@lesson_command.command(
    "check", epilog="Examples: halab lesson check · halab lesson check --wait 2m"
)
@option_lab
@click.option(
    "--wait", "patience", default="", metavar="TIME", help="Look again until it passes (30s, 2m)."
)
@option_output
def check(lab: str, patience: str, output: str) -> None:
    """Look at the lab: is this step done? Exit code 0 if it is, 4 if not."""
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import desk, record

    timeout_s = seconds(patience) if patience else 0.0
    handle, lesson, mine = _current(lab)
    step = desk.step_of(lesson, mine)
    with out.Progress(f"checking {step.name}") as progress:
        result = desk.look_until(
            handle, lesson, mine, timeout_s, lambda text: progress.say(step.name, text)
        )
    if result.ok and step.name not in mine.passed:
        with record.locked(handle.name):
            mine = record.read(handle.name, lesson.name) or mine
            mine.passed.append(step.name)
            record.write(mine)
    if output == "json":
        rows = {"step": step.name, "ok": result.ok, **asdict(result)}
        out.answer(rows)
    else:
        lesson_output.show_checks(result, handle.name)
    raise SystemExit(0 if result.ok else EXIT_FAIL)


@lesson_command.command("reset", epilog="Example: halab lesson reset")
@option_lab
def reset(lab: str) -> None:
    """Make the lab whole, remove what the lesson made in it, and begin at the first step."""
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import desk, record

    handle, lesson, _ = _current(lab)
    with out.Progress(f"resetting {lesson.name}") as progress, record.locked(handle.name):
        desk.restore(handle, lesson, progress)
        mine = desk.begin(handle, lesson)
        record.write(mine)
    lesson_output.show_step(handle, lesson, mine)


@lesson_command.command(
    "verify",
    epilog="Examples: halab lesson verify vip-moves · halab lesson verify split-brain --lab two",
)
@click.argument("name", shell_complete=complete_lesson)
@options_of_the_lab("The lab to play on")
@option_output
def verify(name: str, lab: str, overrides: tuple[str, ...], distribution: str, output: str) -> None:
    """Prove that a lesson works: in each step its checks fail, then its solution makes them pass.

    Faults that are on in the lab are healed first, and what a learner has made in it for a lesson
    may go: take a lab in which nobody learns. The lab stays, whole and clean. Exit code 0 if all
    steps are so, 4 if one is not.
    """
    from lab.cli import lesson_output
    from lab.cli import output as out
    from lab.lessons import catalog, desk, record
    from lab.lessons.verify import play

    lesson = catalog.find_or_load(name)
    begin = time.monotonic()
    with out.Progress(f"verifying {lesson.name}") as progress:
        handle = _ready(lesson, lab, overrides, distribution, progress)
        with record.locked(handle.name):
            desk.restore(handle, lesson, progress)
            played = play(handle, lesson, progress)
    if output == "json":
        out.answer({**asdict(played), "ok": played.ok})
    else:
        for step in played.steps:
            verdict = "passed" if step.ok else "FAILED"
            click.echo(f"{verdict}  {step.step} ({step.seconds:.1f} s): {step.detail}")
        lesson_output.show_figures(played.figures)
        taken = f"{time.monotonic() - begin:.0f} s"
        done = sum(step.ok for step in played.steps)
        click.echo(f"{done} of {len(lesson.steps)} steps of {lesson.name} are right ({taken})")
    raise SystemExit(0 if played.ok else EXIT_FAIL)


def _current(lab: str) -> tuple[Lab, Lesson, LessonProgress]:
    """Return the lesson that was worked on last, with its lab. Raises InputError."""
    from lab.lessons import catalog, record

    mine = record.current(lab)
    return find_lab(mine.lab), catalog.find(mine.lesson), mine
