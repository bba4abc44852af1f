//! Which packet indices were seen (RFC 3711 §3.3.2).

/// A window of 128 indices below the highest seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    seen: u128,
}

impl ReplayWindow {
    /// Highest index accepted.
    pub(super) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether the index may still come: new, and not too old.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let back = highest - index;
                back < 128 && self.seen & (1 << back) == 0
            }
            _ => true,
        }
    }

    /// Notes an index whose packet was authentic.
    pub(super) fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                let back = highest - index;
                if back < 128 {
                    self.seen |= 1 << back;
                }
            }
            Some(highest) => {
                let step = index - highest;
                self.seen = if step < 128 { self.seen << step } else { 0 } | 1;
                self.highest = Some(index);
            }
            None => {
                self.highest = Some(index);
                self.seen = 1;
            }
        }
    }
}
