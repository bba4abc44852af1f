//! Sequence numbers and the validity rules for a source (RFC 3550 §5.1, appendix A.1).

/// A sequence number as on the wire; starts anywhere and wraps at 2^16.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number `count` later, wrapping.
    #[must_use]
    pub const fn plus(self, count: u16) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

/// A sequence number with its wraps counted: it only grows within a leg, also over a restart of
/// the source. The lower 16 bits are the number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ExtendedSequence(pub u64);

impl ExtendedSequence {
    /// The number as on the wire.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower 16 bits are the wire's number"
    )]
    pub const fn wire(self) -> SequenceNumber {
        SequenceNumber(self.0 as u16)
    }
}

/// A step forward of this size or more is a restart, not a loss (`MAX_DROPOUT`).
pub const DROPOUT_MAX: u16 = 3000;
/// A step back of more than this is not reordering (`MAX_MISORDER`).
pub const MISORDER_MAX: u16 = 100;
/// Packets in order that make a source valid (`MIN_SEQUENTIAL`).
pub const SEQUENTIAL_MIN: u8 = 2;

/// What a sequence number means for its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SequenceVerdict {
    /// The source is not valid yet; the packet opens or continues its probation.
    Probation,
    /// The source has become valid with this packet. With a probation of `n` packets, the
    /// `n - 1` before it belong to the same run.
    Started(ExtendedSequence),
    /// Newer than everything before; a difference above one to the last is a gap.
    Ahead(ExtendedSequence),
    /// Not newer than the newest, and at most [`MISORDER_MAX`] back: reordered or a duplicate.
    Behind(ExtendedSequence),
    /// Too far off to belong to the sequence; it counts only if the next packet continues it.
    Suspect,
    /// The source has restarted: the suspect before and this packet open a new sequence, whose
    /// numbers lie above all earlier ones.
    Restarted(ExtendedSequence),
}

/// Follows one source's sequence numbers.
#[derive(Clone, Debug)]
pub struct SequenceTracker {
    sequential_min: u8,
    /// Packets in order still wanted; the tracker is valid at zero.
    probation: u8,
    /// Number that would continue the probation or the suspected restart.
    awaited: Option<SequenceNumber>,
    /// Highest number seen; meaningless during the first probation.
    highest: u64,
}

impl SequenceTracker {
    /// A tracker that wants `sequential_min` packets in order first ([`SEQUENTIAL_MIN`] by the
    /// RFC; 1 accepts the first packet when the caller has judged the source already).
    #[must_use]
    pub const fn new(sequential_min: u8) -> Self {
        let sequential_min = if sequential_min == 0 {
            1
        } else {
            sequential_min
        };
        Self {
            sequential_min,
            probation: sequential_min,
            awaited: None,
            highest: 0,
        }
    }

    /// Judges the next packet of the source.
    pub fn update(&mut self, sequence: SequenceNumber) -> SequenceVerdict {
        if self.probation > 0 {
            return self.probe(sequence);
        }
        let ahead = sequence.0.wrapping_sub(self.highest_wire());
        if ahead == 0 {
            return SequenceVerdict::Behind(ExtendedSequence(self.highest));
        }
        if ahead < DROPOUT_MAX {
            self.highest += u64::from(ahead);
            return SequenceVerdict::Ahead(ExtendedSequence(self.highest));
        }
        let behind = ahead.wrapping_neg();
        if behind <= MISORDER_MAX {
            return SequenceVerdict::Behind(ExtendedSequence(self.highest - u64::from(behind)));
        }
        if self.awaited == Some(sequence) {
            return SequenceVerdict::Restarted(self.begin_epoch(sequence));
        }
        self.awaited = Some(sequence.plus(1));
        SequenceVerdict::Suspect
    }

    /// Forgets the source; the next one starts with a probation, above all earlier numbers.
    pub const fn restart(&mut self) {
        self.probation = self.sequential_min;
        self.awaited = None;
    }

    /// Whether `sequence` would continue a valid source, in order or not.
    #[must_use]
    pub const fn is_near(&self, sequence: SequenceNumber) -> bool {
        let ahead = sequence.0.wrapping_sub(self.highest_wire());
        self.is_valid() && (ahead < DROPOUT_MAX || ahead.wrapping_neg() <= MISORDER_MAX)
    }

    /// Whether the source has proved itself.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.probation == 0
    }

    /// The highest number of a valid source.
    #[must_use]
    pub const fn highest(&self) -> Option<ExtendedSequence> {
        if self.is_valid() {
            Some(ExtendedSequence(self.highest))
        } else {
            None
        }
    }

    fn probe(&mut self, sequence: SequenceNumber) -> SequenceVerdict {
        if self.awaited != Some(sequence) {
            self.probation = self.sequential_min;
        }
        self.probation -= 1;
        if self.probation > 0 {
            self.awaited = Some(sequence.plus(1));
            return SequenceVerdict::Probation;
        }
        SequenceVerdict::Started(self.begin_epoch(sequence))
    }

    /// Opens a cycle above all numbers so far. A whole cycle stays free below it, so that
    /// packets reordered around the start have numbers too.
    fn begin_epoch(&mut self, sequence: SequenceNumber) -> ExtendedSequence {
        self.awaited = None;
        self.highest = (((self.highest >> 16) + 2) << 16) | u64::from(sequence.0);
        ExtendedSequence(self.highest)
    }

    const fn highest_wire(&self) -> u16 {
        ExtendedSequence(self.highest).wire().0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn started(first: u16) -> (SequenceTracker, u64) {
        let mut tracker = SequenceTracker::new(1);
        let SequenceVerdict::Started(at) = tracker.update(SequenceNumber(first)) else {
            panic!("a probation of one starts at once");
        };
        (tracker, at.0)
    }

    #[test]
    fn two_in_order_make_a_source_valid() {
        let mut tracker = SequenceTracker::new(SEQUENTIAL_MIN);
        assert_eq!(
            tracker.update(SequenceNumber(7)),
            SequenceVerdict::Probation
        );
        assert_eq!(
            tracker.update(SequenceNumber(9)),
            SequenceVerdict::Probation
        );
        assert!(!tracker.is_valid());
        assert!(matches!(
            tracker.update(SequenceNumber(10)),
            SequenceVerdict::Started(at) if at.wire() == SequenceNumber(10)
        ));
        assert!(tracker.is_valid());
    }

    #[test]
    fn numbers_grow_across_the_wrap() {
        let (mut tracker, at) = started(65_534);
        for step in 1..=4 {
            assert_eq!(
                tracker.update(SequenceNumber(65_534).plus(step)),
                SequenceVerdict::Ahead(ExtendedSequence(at + u64::from(step)))
            );
        }
        assert_eq!(
            tracker.update(SequenceNumber(65_535)),
            SequenceVerdict::Behind(ExtendedSequence(at + 1))
        );
    }

    #[test]
    fn a_packet_from_before_the_first_has_a_lower_number() {
        let (mut tracker, at) = started(0);
        assert_eq!(
            tracker.update(SequenceNumber(65_535)),
            SequenceVerdict::Behind(ExtendedSequence(at - 1))
        );
    }

    #[test]
    fn a_jump_restarts_only_when_it_continues() {
        let (mut tracker, at) = started(10);
        assert_eq!(
            tracker.update(SequenceNumber(10 + DROPOUT_MAX)),
            SequenceVerdict::Suspect
        );
        assert_eq!(
            tracker.update(SequenceNumber(11)),
            SequenceVerdict::Ahead(ExtendedSequence(at + 1))
        );
        assert_eq!(
            tracker.update(SequenceNumber(40_000)),
            SequenceVerdict::Suspect
        );
        let SequenceVerdict::Restarted(again) = tracker.update(SequenceNumber(40_001)) else {
            panic!("two in order at a new place restart the sequence");
        };
        assert!(again.0 > at + 65_536);
        assert_eq!(again.wire(), SequenceNumber(40_001));
    }

    #[test]
    fn the_limits_of_dropout_and_misorder_hold() {
        let (mut tracker, at) = started(1000);
        assert_eq!(
            tracker.update(SequenceNumber(1000 - MISORDER_MAX)),
            SequenceVerdict::Behind(ExtendedSequence(at - 100))
        );
        assert_eq!(
            tracker.update(SequenceNumber(1000 - MISORDER_MAX - 1)),
            SequenceVerdict::Suspect
        );
        assert_eq!(
            tracker.update(SequenceNumber(1000 + DROPOUT_MAX - 1)),
            SequenceVerdict::Ahead(ExtendedSequence(at + 2999))
        );
    }

    proptest! {
        #[test]
        fn verdicts_keep_the_wire_number_and_never_lower_the_highest(
            numbers in proptest::collection::vec(any::<u16>(), 1..200),
            sequential_min in 1u8..4,
        ) {
            let mut tracker = SequenceTracker::new(sequential_min);
            let mut highest = 0;
            for number in numbers {
                let number = SequenceNumber(number);
                match tracker.update(number) {
                    SequenceVerdict::Probation | SequenceVerdict::Suspect => {}
                    SequenceVerdict::Behind(at) => {
                        prop_assert_eq!(at.wire(), number);
                        prop_assert!(at.0 <= highest);
                    }
                    SequenceVerdict::Started(at)
                    | SequenceVerdict::Ahead(at)
                    | SequenceVerdict::Restarted(at) => {
                        prop_assert_eq!(at.wire(), number);
                        prop_assert!(at.0 > highest);
                        highest = at.0;
                    }
                }
            }
        }
    }
}
