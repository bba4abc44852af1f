//! Events a leg still has to report.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | backlog, within the leg | [`BACKLOG_CAPACITY`] | speech and commands wait; key presses beyond are dropped |

use std::collections::VecDeque;

use rtrb::Producer;

use crate::leg::LegEvent;

/// Events that may wait for room in the queue to the conversation.
pub(crate) const BACKLOG_CAPACITY: usize = 40;
/// Room kept for what one tick can add: a frame takes at most eight chunks, each of which can
/// begin and end a segment and make an old end overdue.
const RESERVE: usize = 24;

#[derive(Debug)]
pub(crate) struct EventBacklog {
    waiting: VecDeque<LegEvent>,
}

impl EventBacklog {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(BACKLOG_CAPACITY),
        }
    }

    /// Queues `event`; a leg that nobody reads drops what exceeds the capacity.
    pub(crate) fn push(&mut self, event: LegEvent) {
        if self.waiting.len() < BACKLOG_CAPACITY {
            self.waiting.push_back(event);
        }
    }

    /// Queues the leg's last event, in place of the newest one if need be.
    pub(crate) fn push_last(&mut self, event: LegEvent) {
        if self.waiting.len() == BACKLOG_CAPACITY {
            self.waiting.pop_back();
        }
        self.waiting.push_back(event);
    }

    /// Moves events on; `true` when any went.
    pub(crate) fn deliver(&mut self, to: &mut Producer<LegEvent>) -> bool {
        let before = self.waiting.len();
        while !to.is_full() {
            let Some(event) = self.waiting.pop_front() else {
                break;
            };
            // There is room, so the push cannot fail.
            let _ = to.push(event);
        }
        self.waiting.len() < before
    }

    /// Whether everything that may cause events may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() + RESERVE <= BACKLOG_CAPACITY
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rtrb::RingBuffer;

    use super::*;
    use crate::frame::SamplePosition;
    use crate::leg::{LegEnd, LegStatistics};

    #[test]
    fn the_last_event_always_finds_a_place() {
        let mut backlog = EventBacklog::new();
        for _ in 0..2 * BACKLOG_CAPACITY {
            backlog.push(LegEvent::Digit {
                key: b'1',
                duration: None,
                position: SamplePosition(0),
            });
        }
        assert!(!backlog.has_room());
        backlog.push_last(LegEvent::Closed {
            end: LegEnd::Closed,
            heard: None,
            statistics: LegStatistics::default(),
        });
        let (mut to, mut from) = RingBuffer::new(2 * BACKLOG_CAPACITY);
        assert!(backlog.deliver(&mut to));
        assert!(backlog.is_empty() && !backlog.deliver(&mut to));
        let all: Vec<_> = std::iter::from_fn(|| from.pop().ok()).collect();
        assert_eq!(all.len(), BACKLOG_CAPACITY);
        assert!(matches!(all.last(), Some(LegEvent::Closed { .. })));
    }
}
