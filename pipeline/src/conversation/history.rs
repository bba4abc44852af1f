//! What was really said, as the model is told.

use crate::llm::Message;

/// The messages of a call. Of the agent's it holds what the caller heard; only while an answer
/// goes on during a tool's run does it hold what is about to be heard, and that is put right
/// when the answer is cut.
#[derive(Clone, Debug, Default)]
pub struct History {
    messages: Vec<Message>,
}

/// Place of a message that may yet be changed or taken back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry(usize);

impl History {
    /// The messages in order; what was not heard at all is left out.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages
            .iter()
            .filter(|m| !matches!(m, Message::Assistant { text, .. } if text.is_empty()))
    }

    pub(super) fn push(&mut self, message: Message) -> Entry {
        self.messages.push(message);
        Entry(self.messages.len() - 1)
    }

    /// Replaces the text of one of the agent's messages by what was heard of it.
    pub(super) fn correct(&mut self, entry: Entry, heard: String, cut: bool) {
        if let Some(Message::Assistant { text, interrupted }) = self.messages.get_mut(entry.0) {
            *text = heard;
            *interrupted = cut;
        }
    }

    /// Replaces the text of one of the caller's messages.
    pub(super) fn restate(&mut self, entry: Entry, said: String) {
        if let Some(Message::User { text, .. }) = self.messages.get_mut(entry.0) {
            *text = said;
        }
    }

    /// Takes back `entry` and everything behind it.
    pub(super) fn withdraw(&mut self, entry: Entry) {
        self.messages.truncate(entry.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unheard_text_is_left_out_and_withdrawn_entries_leave_no_trace() {
        let mut history = History::default();
        let said = history.push(Message::Assistant {
            text: "let me see".to_owned(),
            interrupted: false,
        });
        let silence = history.push(Message::Silence { count: 1 });
        history.correct(said, String::new(), true);
        assert_eq!(history.messages().count(), 1);
        history.withdraw(silence);
        assert_eq!(history.messages().count(), 0);
    }
}
