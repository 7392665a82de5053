//! Whether a request that a process sent is the child of one that it serves.
//!
//! A parent is drawn only on evidence that the thread runs that request's handler synchronously. The clauses, each with
//! a test below, in the order in which the first that fails gives the reason:
//!
//! 1. the sending thread had read a request, and no other since (`no_request_on_thread`);
//! 2. that request was read to the end of its head by this very thread, before (`no_request_on_thread`);
//! 3. its response was not complete when the call began (`no_request_on_thread`);
//! 4. the thread held no other request meanwhile, of another connection or of this one (`two_open_requests`);
//! 5. the thread itself answered it (`handed_off`);
//! 6. the process has broken neither of these two before (the same reasons): one violation lowers the whole process,
//!    unless it was the client that did not wait for its answer;
//! 7. the read of the request was one that waits; or that of the call's own response by this thread was, and the
//!    thread is not the one that runs all of the process's requests: a loop may make calls of its own (`event_loop`);
//! 8. where the request is not answered yet when a decision is due, the process has a history of requests that hold
//!    all of this (`late`).

/// Why a call has no parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The thread was at no request.
    NoRequestOnThread,
    /// A thread of the process held two requests at once.
    TwoOpenRequests,
    /// A thread of the process answered what another had read.
    HandedOff,
    /// No read waits: the thread may have done anything meanwhile.
    EventLoop,
    /// The decision was due before there was evidence.
    Late,
    /// What is known of the request found no room.
    NoRoom,
}

impl Reason {
    /// As attributes and metrics say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::NoRequestOnThread => "no_request_on_thread",
            Reason::TwoOpenRequests => "two_open_requests",
            Reason::HandedOff => "handed_off",
            Reason::EventLoop => "event_loop",
            Reason::Late => "late",
            Reason::NoRoom => "no_room",
        }
    }
}

/// A request that the process serves, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// Who read the end of its head; when; whether by a call that waits.
    pub(crate) exec: u64,
    pub(crate) head_end: u64,
    pub(crate) blocking: bool,
    /// When the thread began to read a request of another connection while this one was open.
    pub(crate) overlap: Option<u64>,
    /// Whether the thread held another one besides: of this connection, or one that it had read before.
    pub(crate) shared: bool,
    /// Who began the response and when it ended, once it did.
    pub(crate) answer: Option<Answer>,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    /// Who moved the first byte of the response; 0 where there was none.
    pub(crate) exec: u64,
    /// Whether by a call that waits (of a response that is read).
    pub(crate) blocking: bool,
    pub(crate) end: u64,
}

/// A request that the process sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call {
    pub(crate) exec: u64,
    pub(crate) start: u64,
    pub(crate) answer: Option<Answer>,
}

/// What a process was seen to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habit {
    /// Requests read by a call that waits, and answered by the same thread.
    pub(crate) proven: u32,
    pub(crate) violation: Option<Reason>,
    /// The thread that read requests, 0 before the first.
    pub(crate) reader: u64,
    /// Others have read requests too.
    pub(crate) several: bool,
}

/// Requests that prove the habit of a process.
const HISTORY: u32 = 20;

impl Habit {
    /// Takes a request that has ended.
    pub(crate) fn learn(&mut self, s: &Served) {
        let Some(answer) = s.answer else { return };
        self.several |= self.reader != 0 && self.reader != s.exec;
        self.reader = s.exec;
        if s.overlap.is_some_and(|at| at < answer.end) {
            self.violation.get_or_insert(Reason::TwoOpenRequests);
        } else if answer.exec != 0 && answer.exec != s.exec {
            self.violation.get_or_insert(Reason::HandedOff);
        } else if s.blocking && answer.exec != 0 {
            self.proven = self.proven.saturating_add(1);
        }
    }
}

/// The confidence that `call` is a child of `served`, or why it is not taken for one.
pub(crate) fn judge(call: &Call, served: &Served, habit: &Habit) -> Result<f64, Reason> {
    if served.exec != call.exec || call.start < served.head_end {
        return Err(Reason::NoRequestOnThread);
    }
    if served.answer.is_some_and(|a| call.start > a.end) {
        return Err(Reason::NoRequestOnThread);
    }
    if served.shared || served.overlap.is_some_and(|at| served.answer.is_none_or(|a| at < a.end)) {
        return Err(Reason::TwoOpenRequests);
    }
    if served.answer.is_some_and(|a| a.exec != 0 && a.exec != served.exec) {
        return Err(Reason::HandedOff);
    }
    if let Some(reason) = habit.violation {
        return Err(reason);
    }
    let own = call.answer.is_some_and(|a| a.blocking && a.exec == call.exec);
    // Loops run in the main thread, and alone.
    let (pid, thread) = (served.exec >> 32, served.exec & 0xffff_ffff);
    let may_be_loop = pid == thread && !habit.several;
    if !served.blocking && (!own || may_be_loop) {
        return Err(Reason::EventLoop);
    }
    // A request that ended without a response, or has not ended, shows nothing of who answers.
    if served.answer.is_none_or(|a| a.exec == 0) && habit.proven < HISTORY {
        return Err(Reason::Late);
    }
    Ok(if served.blocking && own { 0.99 } else { 0.95 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(exec: u64, blocking: bool, end: u64) -> Option<Answer> {
        Some(Answer { exec, blocking, end })
    }

    fn served() -> Served {
        Served {
            exec: 1,
            head_end: 10,
            blocking: true,
            overlap: None,
            shared: false,
            answer: answer(1, false, 100),
        }
    }

    fn call() -> Call {
        Call { exec: 1, start: 20, answer: answer(1, true, 50) }
    }

    const FRESH: Habit = Habit { proven: 0, violation: None, reader: 0, several: false };

    #[test]
    fn a_thread_that_waits_for_its_own_call_has_one() {
        assert_eq!(judge(&call(), &served(), &FRESH), Ok(0.99));
        assert_eq!(judge(&call(), &Served { blocking: false, ..served() }, &FRESH), Ok(0.95));
        assert_eq!(judge(&Call { answer: None, ..call() }, &served(), &FRESH), Ok(0.95));
    }

    #[test]
    fn another_threads_request_is_none() {
        let other = Served { exec: 2, answer: answer(2, false, 100), ..served() };
        assert_eq!(judge(&call(), &other, &FRESH), Err(Reason::NoRequestOnThread));
    }

    #[test]
    fn a_call_before_the_head_was_read_or_after_the_response_has_none() {
        assert_eq!(judge(&Call { start: 9, ..call() }, &served(), &FRESH), Err(Reason::NoRequestOnThread));
        assert_eq!(judge(&Call { start: 101, ..call() }, &served(), &FRESH), Err(Reason::NoRequestOnThread));
    }

    #[test]
    fn a_thread_with_two_requests_has_none_unless_the_first_was_answered_before() {
        let two = Served { overlap: Some(30), ..served() };
        assert_eq!(judge(&call(), &two, &FRESH), Err(Reason::TwoOpenRequests));
        assert_eq!(judge(&call(), &Served { answer: None, ..two }, &FRESH), Err(Reason::TwoOpenRequests));
        assert_eq!(judge(&call(), &Served { overlap: Some(100), ..served() }, &FRESH), Ok(0.99));
        assert_eq!(
            judge(&call(), &Served { shared: true, ..served() }, &FRESH),
            Err(Reason::TwoOpenRequests)
        );
    }

    #[test]
    fn what_another_thread_answered_was_handed_off() {
        let handed = Served { answer: answer(2, false, 100), ..served() };
        assert_eq!(judge(&call(), &handed, &FRESH), Err(Reason::HandedOff));
    }

    #[test]
    fn one_violation_lowers_the_whole_process() {
        let mut habit = Habit::default();
        habit.learn(&served());
        assert_eq!((habit.proven, habit.violation), (1, None));
        habit.learn(&Served { answer: answer(2, false, 100), ..served() });
        habit.learn(&Served { overlap: Some(30), ..served() });
        assert_eq!(habit.violation, Some(Reason::HandedOff));
        assert_eq!(judge(&call(), &served(), &habit), Err(Reason::HandedOff));
        let mut habit = Habit::default();
        habit.learn(&Served { overlap: Some(30), ..served() });
        assert_eq!(judge(&call(), &served(), &habit), Err(Reason::TwoOpenRequests));
    }

    #[test]
    fn without_a_read_that_waits_there_is_no_evidence() {
        let served = Served { blocking: false, ..served() };
        let call = Call { answer: answer(1, false, 50), ..call() };
        assert_eq!(judge(&call, &served, &FRESH), Err(Reason::EventLoop));
        let by_another = Call { answer: answer(3, true, 50), ..call };
        assert_eq!(judge(&by_another, &served, &FRESH), Err(Reason::EventLoop));
    }

    #[test]
    fn a_main_thread_that_reads_all_requests_without_waiting_may_be_a_loop() {
        let main = 5 << 32 | 5;
        let served = Served { exec: main, blocking: false, answer: answer(main, false, 100), ..served() };
        let call = Call { exec: main, answer: answer(main, true, 50), ..call() };
        let mut habit = FRESH;
        habit.learn(&served);
        habit.learn(&served);
        assert_eq!(judge(&call, &served, &habit), Err(Reason::EventLoop));
        assert_eq!(judge(&call, &Served { blocking: true, ..served }, &habit), Ok(0.99));
        let other = 5 << 32 | 6;
        habit.learn(&Served { exec: other, answer: answer(other, false, 100), ..served });
        assert_eq!(judge(&call, &served, &habit), Ok(0.95));
    }

    #[test]
    fn before_the_answer_only_a_history_decides() {
        for answer in [None, answer(0, false, 100)] {
            let open = Served { answer, ..served() };
            assert_eq!(judge(&call(), &open, &FRESH), Err(Reason::Late));
            let habit = Habit { proven: HISTORY, ..FRESH };
            assert_eq!(judge(&call(), &open, &habit), Ok(0.99));
        }
    }
}
