"""Any client against any server: one long-poll session, a naive model beside it, and rules for the whole history."""

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from phoenix_channels.protocol.longpoll import Answer, Session

WINDOW, MAX_POLLS = 10, 3


class Poll(NamedTuple):
    number: int
    since: int


class SessionMachine(RuleBasedStateMachine):
    """The model keeps every message and every poll for ever, and finds what holds now by looking through them."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session[Poll] = Session(window=WINDOW, max_polls=MAX_POLLS)
        self.now = 0
        self.written: list[bytes] = []
        self.delivered: list[bytes] = []
        self.polls: list[Poll] = []
        self.gone: set[Poll] = set()
        """Withdrawn."""
        self.answers: dict[Poll, Answer[Poll]] = {}
        self.over = False

    @property
    def open(self) -> list[Poll]:
        return [poll for poll in self.polls if poll not in self.answers and poll not in self.gone]

    @property
    def receiver(self) -> Poll | None:
        return self.polls[-1] if self.polls and self.polls[-1] in self.open else None

    def take(self, answers: list[Answer[Poll]], *, expected: list[Poll]) -> None:
        """Exactly these polls are answered now, and each for the first and only time."""
        assert [answer.poll for answer in answers] == expected
        for answer in answers:
            assert answer.poll in self.open
            self.answers[answer.poll] = answer
            assert (answer.status == 200) == bool(answer.messages)
            assert answer.status in (200, 204)
            # Whoever is answered in vain consumes nothing: not even as a promise.
            self.delivered += answer.messages

    @precondition(lambda self: not self.over)
    @rule(batches=st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def write(self, batches: list[int]) -> None:
        for size in batches:
            messages = [b"%d" % (len(self.written) + at) for at in range(size)]
            expected = [self.receiver] if self.receiver and messages else []
            self.written += messages
            answers = self.session.write(*messages)
            self.take(answers, expected=expected)
            assert all(answer.messages == messages for answer in answers)

    @rule(times=st.integers(1, MAX_POLLS + 1))
    def poll(self, times: int) -> None:
        for _ in range(times):
            poll, buffered = Poll(len(self.polls), self.now), self.written[len(self.delivered) :]
            self.polls.append(poll)
            answers = self.session.poll(poll, self.now)
            if self.over or buffered:
                self.take(answers, expected=[poll])
                assert answers[0].messages == ([] if self.over else buffered)
            else:
                self.take(answers, expected=self.open[:-MAX_POLLS])
                assert all(answer.status == 204 for answer in answers)

    @precondition(lambda self: self.polls)
    @rule(pick=st.integers(0, 5))
    def the_client_goes_away(self, pick: int) -> None:
        # Its answer may be on its way: then nothing is withdrawn.
        poll = self.polls[-1 - pick % len(self.polls)]
        self.session.withdraw(poll)
        if poll in self.open:
            self.gone.add(poll)

    @rule(seconds=st.integers(0, WINDOW + 2))
    def time_passes(self, seconds: int) -> None:
        """The driver is woken at every deadline, and perhaps for nothing at the end."""
        until = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= until:
            self.now = int(deadline)
            due = [poll for poll in self.open if poll.since + WINDOW <= self.now]
            assert due, "the session asks to be woken for nothing"
            self.take(self.session.handle_timeout(self.now), expected=due)
        self.now = until
        assert self.session.handle_timeout(self.now) == []

    @rule(seconds=st.integers(1, 2 * WINDOW))
    def the_driver_is_late(self, seconds: int) -> None:
        self.now += seconds
        due = [poll for poll in self.open if poll.since + WINDOW <= self.now]
        self.take(self.session.handle_timeout(self.now), expected=due)

    # Seldom: what follows is short.
    @precondition(lambda self: len(self.written) > 20)
    @rule()
    def end(self) -> None:
        self.take(self.session.end(), expected=self.open)
        self.over = True

    @invariant()
    def nothing_is_lost_nothing_comes_twice_and_the_order_is_kept(self) -> None:
        assert self.delivered == self.written[: len(self.delivered)]
        undelivered = 0 if self.over else sum(map(len, self.written[len(self.delivered) :]))
        assert self.session.buffered_bytes == undelivered

    @invariant()
    def what_waits_is_bounded_and_never_waits_beside_what_it_waits_for(self) -> None:
        assert self.session.waiting == len(self.open) <= MAX_POLLS
        assert self.receiver is None or self.session.buffered_bytes == 0
        assert self.session.next_deadline() == min((poll.since + WINDOW for poll in self.open), default=None)

    def teardown(self) -> None:
        """In the end every poll has been answered, and one more gets the rest."""
        self.time_passes(WINDOW)
        assert self.open == []
        self.poll(1)
        if not self.over:
            assert self.delivered == self.written


SessionMachine.TestCase.settings = settings(stateful_step_count=50)
TestSessionMachine = SessionMachine.TestCase
