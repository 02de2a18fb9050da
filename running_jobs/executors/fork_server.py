"""The process that runners are forked from: the slim dispatcher as it was before it had anything to do.

A runner shares its memory with whoever it was forked from until one of them writes to it. A dispatcher writes all the
time, if only counts of references, and each page that it changes after a fork is left to the runner alone. So runners
are forked by a copy of it that does nothing else, like Android's zygote or multiprocessing's fork server: a tenth less
memory for each of them, and the dispatcher goes on meanwhile.

It is asked through a socket, in which it gets what the runner is to hold. It does not answer, but writes NOT_FORKED to
that if it cannot fork. It leaves with its dispatcher, when the socket ends; of signals only SIGKILL ends it before.
"""

from __future__ import annotations

import _socket  # what socket lays around it takes 5 ms to import, for which the first job would wait
import contextlib
import errno
import os
import traceback
from array import array
from collections.abc import Callable
from typing import NoReturn

from running_jobs.files import hold_only
from running_jobs.processes import rename_self

NOT_FORKED = b"!"  # written into the last of the descriptors
WAIT_S = 1.0  # for a server that is held up, with hundreds of requests before it
TITLE = "running-jobs: fork server"
_ROOM = _socket.CMSG_SPACE(2 * array("i").itemsize)  # for a runner's ends of two pipes


class ForkServer:
    """The dispatcher's end of it.

    At the other, `prepare` is called once, and `run` in each process that is forked, with the descriptors that were
    handed over. `note_error` is told of defects there.
    """

    def __init__(
        self, prepare: Callable[[], None], run: Callable[..., None], note_error: Callable[[str], None]
    ) -> None:
        self._prepare = prepare
        self._run = run
        self._note_error = note_error
        self._requests: _socket.socket | None = None

    def open(self) -> None:
        """Fork it off, unless that was done. Raise OSError if there are no processes or descriptors to be had."""
        if self._requests:
            return
        ours, theirs = _socket.socketpair()
        try:
            intermediate = os.fork()
            if intermediate == 0:  # never returns: it would unwind through the dispatcher's code
                self._fork_again(self._serve, theirs.fileno())
            if os.waitpid(intermediate, 0)[1] != 0:
                raise BlockingIOError(errno.EAGAIN, "The fork server could not be forked")
            ours.settimeout(WAIT_S)
            self._requests = ours
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def fork(self, *descriptors: int) -> None:
        """Have a process forked twice that holds these descriptors; they stay the caller's, too.

        Raise OSError if that cannot even be asked for. If it cannot be done, the last of them tells NOT_FORKED.
        """
        try:
            self._ask(descriptors)
        except (BrokenPipeError, ConnectionResetError):  # it was killed; the next one is a copy of us as we are now
            if self._requests:
                self._requests.close()
            self._requests = None
            self._ask(descriptors)

    def _ask(self, descriptors: tuple[int, ...]) -> None:
        self.open()
        if self._requests:  # always, by now
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", descriptors))
            self._requests.sendmsg([b"\0"], [rights], _socket.MSG_NOSIGNAL)

    # --- in the process that forks: in few steps, for what it touches of its memory is lost to each runner, too

    def _serve(self, socket: int) -> None:
        rename_self(TITLE)
        self._prepare()
        requests = _socket.socket(fileno=socket)
        while True:
            request, rights, flags, _ = requests.recvmsg(1, _ROOM, _socket.MSG_CMSG_CLOEXEC)
            if not request:
                return
            descriptors = array("i", rights[0][2] if rights else b"")
            if not flags & _socket.MSG_CTRUNC:  # else there was no room for all of them: their end tells the dispatcher
                self._fork_with(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork_with(self, descriptors: array[int]) -> None:
        try:
            intermediate = os.fork()
            if intermediate == 0:
                self._fork_again(self._run, *descriptors)
            is_forked = os.waitpid(intermediate, 0)[1] == 0
        except OSError:  # no processes: others will end
            is_forked = False
        if not is_forked:
            with contextlib.suppress(OSError):
                os.write(descriptors[-1], NOT_FORKED)

    def _fork_again(self, serve: Callable[..., None], *descriptors: int) -> NoReturn:
        """Be what is between us and a process that has init for a parent, and holds only this."""
        try:
            os.setsid()
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                os._exit(1)
            hold_only(*descriptors)
            serve(*descriptors)
            os._exit(0)
        except BaseException:  # the last place where a defect can be told
            self._note_error(f"A fork server or runner failed: {traceback.format_exc()}")
        finally:
            os._exit(1)
