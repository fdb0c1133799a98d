"""Send a command to a cluster: `python -m jobs.submit --address http://HOST:8265 -- jobs.synthesize --config FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.console import EXIT_CODES, EXIT_INTERRUPTED, EXIT_OK, EXIT_STOPPED, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.cluster.submit import JobServer, build_runtime_env, connect, describe_job, exit_code_of, read_command
from pipeline.config.printable import printable
from pipeline.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, which is the job's where it is followed to its end."""
    parser = CommandParser(
        prog="python -m jobs.submit",
        description="Send a command to a running Ray cluster and follow it; Ctrl-C leaves the job running. The same "
        "command again follows the job that runs, or resumes what was stopped.",
        epilog=f"{EXIT_CODES}; of the job, where it is followed to its end",
    )
    parser.add_argument("--address", required=True, metavar="URL", help="the job server: http://HOST:8265")
    parser.add_argument("--working-dir", default=".", metavar="DIR", help="the folder that travels (default: this one)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting, never a secret")
    parser.add_argument("--python", default="python", metavar="PATH", help="the interpreter on the head node")
    parser.add_argument("--no-follow", action="store_true", help="send the command and leave")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", nargs="?", const="", metavar="JOB", help="show a job, or all of them")
    what.add_argument("--follow", nargs="?", const="", metavar="JOB", help="show a job's log until it ends")
    what.add_argument("--stop", nargs="?", const="", metavar="JOB", help="end a job; what it committed stays")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="jobs.NAME and its arguments")
    options = parser.parse_args(arguments)
    return run_command(lambda: _act(options), notice="leaving")


def _act(options: argparse.Namespace) -> int:
    if all(name is None for name in (options.status, options.follow, options.stop)):
        return _submit(options)
    if options.command:
        raise ConfigError("--status, --follow and --stop take a job's name, no command")
    server = JobServer(connect(options.address), options.address)
    if options.status is not None:
        for job in [server.find(options.status)] if options.status else server.list_jobs():
            say(describe_job(job))
        return EXIT_OK
    if options.stop is not None:
        name = server.find(options.stop).submission_id
        say(f"stopping {name}: its writers end what they hold", error=True)
        say(describe_job(server.stop(name)))
        return EXIT_OK
    return _follow(server, options.address, server.find(options.follow).submission_id)


def _submit(options: argparse.Namespace) -> int:
    working_dir = Path(options.working_dir)
    command = read_command(options.command, working_dir, options.python)
    runtime_env = build_runtime_env(working_dir, options.env)
    server = JobServer(connect(options.address), options.address)
    name, is_new = server.submit(command, runtime_env)
    say(f"job {name}" + ("" if is_new else ": this command runs already"), error=True)
    if options.no_follow:
        say(name)
        return EXIT_OK
    return _follow(server, options.address, name)


def _follow(server: JobServer, address: str, name: str) -> int:
    def write(text: str) -> None:
        print(printable(text), end="", flush=True)

    try:
        job = server.follow(name, write)
    except KeyboardInterrupt:
        us = f"python -m jobs.submit --address {address}"
        say(f"\njob {name} goes on without you.\n  see it again: {us} --follow {name}", error=True)
        say(f"  end it:       {us} --stop {name}", error=True)
        return EXIT_INTERRUPTED
    code = exit_code_of(job)
    say(f"job {describe_job(job)}", error=True)
    if code == EXIT_STOPPED:
        say("Committed work is safe; run the same command again to go on.", error=True)
    return code


if __name__ == "__main__":
    sys.exit(run_guarded(main))
