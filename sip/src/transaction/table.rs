//! Objects found by key or id and ordered by their next deadline.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Something that wants to be called back.
pub(crate) trait Deadline {
    /// When; `None` if only an input can change it.
    fn deadline(&self) -> Option<Instant>;
}

/// Table of timed objects. An entry's deadline is re-read after each access by
/// [`Table::update`], so the order cannot go stale and nothing is left behind on removal.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    ids: HashMap<K, u64>,
    entries: HashMap<u64, Entry<K, T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry<K, T> {
    key: K,
    value: T,
    scheduled: Option<Instant>,
}

impl<K: Hash + Eq + Clone, T: Deadline> Table<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            entries: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_id: 1,
        }
    }

    /// Stores a value; the id is never used again.
    pub(crate) fn insert(&mut self, key: K, value: T) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(replaced) = self.ids.insert(key.clone(), id) {
            self.remove_entry(replaced);
        }
        let scheduled = value.deadline();
        if let Some(at) = scheduled {
            self.deadlines.insert((at, id));
        }
        self.entries.insert(
            id,
            Entry {
                key,
                value,
                scheduled,
            },
        );
        id
    }

    /// Runs `change` on an entry and notes its new deadline.
    pub(crate) fn update<R>(&mut self, id: u64, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let entry = self.entries.get_mut(&id)?;
        let result = change(&mut entry.value);
        let deadline = entry.value.deadline();
        if deadline != entry.scheduled {
            if let Some(at) = entry.scheduled {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            entry.scheduled = deadline;
        }
        Some(result)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let entry = self.remove_entry(id)?;
        self.ids.remove(&entry.key);
        Some(entry.value)
    }

    pub(crate) fn find(&self, key: &K) -> Option<u64> {
        self.ids.get(key).copied()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        self.entries.get(&id).map(|entry| &entry.value)
    }

    /// Ids of all entries.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The earliest deadline of all.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// An entry whose deadline has come. The caller must move or remove it before asking again.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        self.deadlines
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
    }

    fn remove_entry(&mut self, id: u64) -> Option<Entry<K, T>> {
        let entry = self.entries.remove(&id)?;
        if let Some(at) = entry.scheduled {
            self.deadlines.remove(&(at, id));
        }
        Some(entry)
    }
}
