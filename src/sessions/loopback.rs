//! Frames between the fronts and the homes of one node, in place of a node link: pushed with a lock held, handled
//! once it is given back. The thread that finds frames which no other thread handles does so, and goes on until none
//! are left. So the frames of one agent keep their order, nothing calls itself, and no task has to be woken.
//!
//! ```text
//!          push                 drain                          empty
//!   idle ────────► frames wait ───────► one thread handles them ─────► idle
//!                                       │  ▲ others push: the thread goes on
//!                                       └──┘
//! ```
//!
//! # Bound
//! A thread that leaves its frames to another one waits while that one has more than [`QUEUE_FRAMES_MAX`] frames or
//! [`QUEUE_BYTES_MAX`] bytes before it. So a queue holds that much, and what one event of each thread adds.

use std::cell::Cell;
use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use crate::core::placement;
use crate::ident::InstanceUid;

/// Queues. Agents are spread over them, so that threads seldom meet.
const QUEUES: u16 = 64;
/// See the module's text.
const QUEUE_FRAMES_MAX: usize = 1_024;
/// See the module's text.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Buffers that a queue holds ready for its next frames, and the largest of them.
const SPARE_MAX: usize = 8;
const SPARE_BYTES_MAX: usize = 4 << 10;

/// For which side of an attachment a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopbackSide {
    /// A `ToHome`.
    Home,
    /// A `ToFront`.
    Front,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Loopback {
    queues: Box<[LoopbackQueue]>,
}

#[derive(Debug, Default)]
struct LoopbackQueue {
    state: Mutex<QueueState>,
    /// Woken when the thread that handles frames has come to the end.
    handled: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    frames: VecDeque<(InstanceUid, LoopbackSide, Vec<u8>)>,
    bytes: usize,
    /// A thread handles the frames.
    is_handled: bool,
    spare: Vec<Vec<u8>>,
}

thread_local! {
    /// The queues that this thread must look at before it is done; `None` while it handles none.
    static MARKED: Cell<Option<u64>> = const { Cell::new(None) };
}

impl Loopback {
    pub(super) fn new() -> Self {
        Self { queues: (0..QUEUES).map(|_| LoopbackQueue::default()).collect() }
    }

    fn place(uid: InstanceUid) -> u16 {
        placement::link_of(uid, QUEUES)
    }

    /// Takes a frame of this agent's, which `write` writes. A frame that says something of many agents goes
    /// for one agent alone. May be called with locks held; [`Loopback::drain`] follows once they are given back.
    pub(super) fn push(
        &self,
        uid: InstanceUid,
        to: LoopbackSide,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut state = self.queues[usize::from(Self::place(uid))].state.lock();
        let mut frame = state.spare.pop().unwrap_or_default();
        write(&mut frame);
        state.bytes += frame.len();
        state.frames.push_back((uid, to, frame));
    }

    /// Has all frames of this agent's queue handled, by this thread or by the one that is at it. Called without
    /// locks; from within `handle` it returns at once, and the frames are handled before the outer call returns.
    pub(super) fn drain(
        &self,
        uid: InstanceUid,
        handle: impl Fn(InstanceUid, LoopbackSide, &[u8]),
    ) {
        let place = Self::place(uid);
        if let Some(marked) = MARKED.get() {
            return MARKED.set(Some(marked | 1 << place));
        }
        let _at_work = AtWork::begin(1 << place);
        while let Some(place) = AtWork::next() {
            self.queues[place].drain(&handle);
        }
    }
}

/// This thread handles frames; also after a panic it no longer does.
struct AtWork;

impl AtWork {
    fn begin(marked: u64) -> Self {
        MARKED.set(Some(marked));
        Self
    }

    /// Takes one of the marked queues.
    fn next() -> Option<usize> {
        let marked = MARKED.get().filter(|marked| *marked != 0)?;
        MARKED.set(Some(marked & (marked - 1)));
        Some(marked.trailing_zeros() as usize)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        MARKED.set(None);
    }
}

impl LoopbackQueue {
    fn drain(&self, handle: &impl Fn(InstanceUid, LoopbackSide, &[u8])) {
        let mut state = self.state.lock();
        if state.is_handled {
            while state.is_handled && state.is_full() {
                self.handled.wait(&mut state);
            }
            return;
        }
        let _handling = Handling { queue: self };
        while let Some((uid, to, frame)) = state.frames.pop_front() {
            state.is_handled = true;
            state.bytes -= frame.len();
            drop(state);
            handle(uid, to, &frame);
            state = self.state.lock();
            state.keep_spare(frame);
        }
        // In the same breath as the look that found nothing: what is pushed from here on, its own thread handles.
        state.is_handled = false;
        drop(state);
    }
}

impl QueueState {
    fn is_full(&self) -> bool {
        self.frames.len() > QUEUE_FRAMES_MAX || self.bytes > QUEUE_BYTES_MAX
    }

    fn keep_spare(&mut self, mut frame: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && frame.capacity() <= SPARE_BYTES_MAX {
            frame.clear();
            self.spare.push(frame);
        }
    }
}

/// Wakes threads that wait for the end; after a panic, too, the next thread may go on.
struct Handling<'a> {
    queue: &'a LoopbackQueue,
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.state.lock().is_handled = false;
        }
        self.queue.handled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const fn uid(n: u8) -> InstanceUid {
        InstanceUid::from_bytes([n; 16])
    }

    fn put(loopback: &Loopback, n: u8, to: LoopbackSide, byte: u8) {
        loopback.push(uid(n), to, |out| out.push(byte));
    }

    #[test]
    fn frames_come_in_order_and_none_within_another() {
        let loopback = Loopback::new();
        let (seen, depth) = (Mutex::new(Vec::new()), Cell::new(0));
        let handle = |of: InstanceUid, to: LoopbackSide, frame: &[u8]| {
            assert_eq!(depth.replace(1), 0, "a frame is handled while another is");
            seen.lock().push((of, to, frame.to_vec()));
            if to == LoopbackSide::Home && frame[0] < 3 {
                put(&loopback, 1, LoopbackSide::Front, frame[0] + 10);
                put(&loopback, 2, LoopbackSide::Front, frame[0] + 20);
                loopback.drain(uid(1), |_, _, _| panic!("the outer call does it"));
                loopback.drain(uid(2), |_, _, _| panic!("the outer call does it"));
            }
            depth.set(0);
        };
        put(&loopback, 1, LoopbackSide::Home, 1);
        put(&loopback, 1, LoopbackSide::Home, 2);
        loopback.drain(uid(1), handle);
        let of = |n: u8| -> Vec<u8> {
            let seen = seen.lock();
            seen.iter().filter(|(of, ..)| *of == uid(n)).map(|(_, _, frame)| frame[0]).collect()
        };
        assert_eq!(of(1), [1, 2, 11, 12]);
        assert_eq!(of(2), [21, 22]);
        loopback.drain(uid(1), |_, _, _| panic!("nothing is left"));
    }

    /// One thread handles frames for all; none is lost, and each agent's come in order.
    #[test]
    fn threads_that_meet_lose_nothing() {
        const EACH: usize = 5_000;
        let loopback = Arc::new(Loopback::new());
        let next = Arc::new([0; 4].map(AtomicUsize::new));
        let threads = [0_u8, 1, 2, 3].map(|n| {
            let (loopback, next) = (Arc::clone(&loopback), Arc::clone(&next));
            std::thread::spawn(move || {
                for number in 0..EACH {
                    // All in one queue: their first bytes tell them apart.
                    loopback.push(uid(7), LoopbackSide::Home, |out| {
                        out.push(n);
                        out.extend_from_slice(&number.to_le_bytes());
                    });
                    loopback.drain(uid(7), |_, _, frame| {
                        let number = usize::from_le_bytes(frame[1..9].try_into().unwrap());
                        let before = next[usize::from(frame[0])].swap(number + 1, Ordering::SeqCst);
                        assert_eq!(before, number);
                    });
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        loopback.drain(uid(7), |_, _, _| panic!("nothing is left"));
        assert!(next.iter().all(|next| next.load(Ordering::SeqCst) == EACH));
    }

    #[test]
    fn a_panic_holds_up_one_frame() {
        let loopback = Loopback::new();
        put(&loopback, 1, LoopbackSide::Home, 1);
        put(&loopback, 1, LoopbackSide::Home, 2);
        let fails = || loopback.drain(uid(1), |_, _, _| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fails)).is_err());
        let seen = Cell::new(0);
        loopback.drain(uid(1), |_, _, frame| seen.set(frame[0]));
        assert_eq!(seen.get(), 2);
    }
}
