//! Handles of single calls. Dropping one ends its session by what fits its state.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::driver::{Link, Opened};
use super::user_agent::UserAgentError;
use crate::event::{
    Command, Event, IncomingInvite, InfoDigit, OfferMethod, ReferProgress, SessionEnd, SessionId,
};
use crate::message::{Essentials, Header, Headers, NameAddr, Request, StatusCode, Uri};
use crate::sdp::SessionDescription;
use crate::transport::Hop;

/// One session with its event queue; ends the session when dropped.
#[derive(Debug)]
struct SessionHandle {
    link: Link,
    session: SessionId,
    events: mpsc::Receiver<Event>,
    end: Arc<OnceLock<SessionEnd>>,
}

impl SessionHandle {
    fn new(link: Link, opened: Opened) -> Self {
        Self {
            link,
            session: opened.session,
            events: opened.events,
            end: opened.end,
        }
    }

    async fn command(&self, command: Command) -> Result<(), UserAgentError> {
        self.link.command(self.session, command).await
    }

    /// The next event, or how the session ended.
    async fn next(&mut self) -> Result<Event, SessionEnd> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            // The queue closes without an end only if the driver was torn down.
            None => Err(self.end.get().cloned().unwrap_or(SessionEnd::LocalBye)),
        }
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        if self.end.get().is_none() {
            self.link
                .release(self.session, Command::End { reason: None });
        }
    }
}

/// A call that waits for our answer. 100 Trying has been sent. Dropping it refuses the call
/// with 480.
#[derive(Debug)]
pub struct IncomingCall {
    handle: SessionHandle,
    invite: Box<IncomingInvite>,
}

impl IncomingCall {
    pub(super) fn new(link: Link, opened: Opened, invite: Box<IncomingInvite>) -> Self {
        Self {
            handle: SessionHandle::new(link, opened),
            invite,
        }
    }

    /// The INVITE with all its header fields.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.invite.request
    }

    /// Header fields that every request has, read.
    #[must_use]
    pub const fn essentials(&self) -> &Essentials {
        &self.invite.essentials
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.invite.essentials.call_id
    }

    /// From.
    #[must_use]
    pub const fn from(&self) -> &NameAddr {
        &self.invite.essentials.from
    }

    /// To.
    #[must_use]
    pub const fn to(&self) -> &NameAddr {
        &self.invite.essentials.to
    }

    /// Request-URI: whom the trunk wants to reach.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.invite.request.uri
    }

    /// Where the INVITE came from.
    #[must_use]
    pub const fn source(&self) -> Hop {
        self.invite.source
    }

    /// The user of ours whose credentials the INVITE carried, if they were right.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.invite.user.as_deref()
    }

    /// Asks the caller to prove who it is (401); its next INVITE is a new call with
    /// [`Self::user`].
    ///
    /// # Errors
    /// [`UserAgentError`] when the caller has given up, or no users are configured.
    pub async fn challenge(self) -> Result<(), UserAgentError> {
        self.handle.command(Command::Challenge).await
    }

    /// The caller's offer; `None` means that our answer must be an offer and the caller's answer
    /// comes with [`DialogEvent::Confirmed`].
    #[must_use]
    pub const fn offer(&self) -> Option<&SessionDescription> {
        self.invite.offer.as_ref()
    }

    /// Sends 180 Ringing.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn ring(&self) -> Result<(), UserAgentError> {
        self.progress(StatusCode::RINGING, None).await
    }

    /// Sends a provisional response, with `sdp` for early media.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn progress(
        &self,
        status: StatusCode,
        sdp: Option<SessionDescription>,
    ) -> Result<(), UserAgentError> {
        self.handle.command(Command::Progress { status, sdp }).await
    }

    /// Accepts the call. The dialog can be used at once; [`DialogEvent::Confirmed`] tells of the
    /// caller's ACK.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn answer(
        self,
        sdp: SessionDescription,
        headers: Vec<Header>,
    ) -> Result<Dialog, UserAgentError> {
        self.handle
            .command(Command::Answer { sdp, headers })
            .await?;
        Ok(Dialog {
            handle: self.handle,
        })
    }

    /// Refuses the call.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn reject(
        self,
        status: StatusCode,
        reason: Option<String>,
        headers: Vec<Header>,
    ) -> Result<(), UserAgentError> {
        self.handle
            .command(Command::Reject {
                status,
                reason,
                headers,
            })
            .await
    }

    /// Resolves when the call ends before our answer: the caller gave up. Cancel safe.
    pub async fn cancelled(&mut self) -> SessionEnd {
        loop {
            if let Err(end) = self.handle.next().await {
                return end;
            }
        }
    }
}

/// What happens to a call we place.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutgoingEvent {
    /// 180, 183 and the like; `sdp` means early media.
    Provisional {
        /// Status.
        status: StatusCode,
        /// Early session description, not final.
        sdp: Option<SessionDescription>,
    },
    /// The callee accepted.
    Answered {
        /// The answer to our offer; `None` if the peer sent none although it had to.
        sdp: Option<SessionDescription>,
        /// Header fields of the 200.
        headers: Headers,
        /// The dialog.
        dialog: Dialog,
    },
    /// The callee accepted and made the offer, since our INVITE had none.
    Offered {
        /// The offer; answer it to complete the call, drop it to end the call.
        offer: LateOffer,
    },
    /// The call did not come about.
    Failed(SessionEnd),
}

/// A call we place. Dropping it cancels the call.
#[derive(Debug)]
pub struct OutgoingCall {
    /// Taken when the call is answered or over.
    handle: Option<SessionHandle>,
    session: SessionId,
    link: Link,
    late_offer: bool,
}

impl OutgoingCall {
    pub(super) fn new(link: Link, opened: Opened, late_offer: bool) -> Self {
        Self {
            session: opened.session,
            late_offer,
            handle: Some(SessionHandle::new(link.clone(), opened)),
            link,
        }
    }

    /// The next event; `None` after [`OutgoingEvent::Answered`], `Offered` or `Failed`.
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<OutgoingEvent> {
        loop {
            let handle = self.handle.as_mut()?;
            match handle.next().await {
                Ok(Event::Provisional { status, sdp, .. }) => {
                    return Some(OutgoingEvent::Provisional { status, sdp });
                }
                Ok(Event::Answered { sdp, headers, .. }) => {
                    let handle = self.handle.take()?;
                    return Some(match sdp {
                        Some(sdp) if self.late_offer => OutgoingEvent::Offered {
                            offer: LateOffer { handle, sdp },
                        },
                        sdp => OutgoingEvent::Answered {
                            sdp,
                            headers,
                            dialog: Dialog { handle },
                        },
                    });
                }
                Ok(_) => {}
                Err(end) => {
                    self.handle = None;
                    return Some(OutgoingEvent::Failed(end));
                }
            }
        }
    }

    /// Gives up. [`OutgoingEvent::Failed`] follows; an answer that crosses is ended by BYE.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn cancel(&self, reason: Option<String>) -> Result<(), UserAgentError> {
        self.link
            .command(self.session, Command::End { reason })
            .await
    }
}

/// The peer's offer in its 200 to our INVITE without one. Dropping it ends the call.
#[derive(Debug)]
pub struct LateOffer {
    handle: SessionHandle,
    sdp: SessionDescription,
}

impl LateOffer {
    /// The offer.
    #[must_use]
    pub const fn sdp(&self) -> &SessionDescription {
        &self.sdp
    }

    /// Sends our answer in the ACK.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn acknowledge(self, sdp: SessionDescription) -> Result<Dialog, UserAgentError> {
        self.handle.command(Command::Acknowledge { sdp }).await?;
        Ok(Dialog {
            handle: self.handle,
        })
    }
}

/// What happens within an answered call.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialogEvent {
    /// The caller acknowledged our 200; `sdp` is the answer if the 200 carried our offer.
    Confirmed {
        /// Answer to our offer.
        sdp: Option<SessionDescription>,
    },
    /// The peer wants to change the session: hold, resume, another codec or address.
    Offer {
        /// Which request carried it.
        method: OfferMethod,
        /// The offer; `None` asks for a full fresh offer of ours.
        sdp: Option<SessionDescription>,
        /// Answers it.
        responder: OfferResponder,
    },
    /// The answer to the offer we made on the peer's request.
    OfferConfirmed {
        /// The answer.
        sdp: SessionDescription,
    },
    /// Our re-INVITE was accepted.
    ReinviteAnswered {
        /// The answer.
        sdp: Option<SessionDescription>,
    },
    /// Our re-INVITE was refused; the call goes on as before.
    ReinviteFailed {
        /// Final status.
        status: StatusCode,
    },
    /// The peer sent INFO.
    Info {
        /// A key press, if it was one.
        digit: Option<InfoDigit>,
        /// Media type of the body.
        content_type: Option<String>,
        /// Body.
        body: Vec<u8>,
    },
    /// News of the transfer we asked for.
    Refer {
        /// How it goes.
        progress: ReferProgress,
    },
    /// The call is over.
    Ended(SessionEnd),
}

/// An answered call. Dropping it hangs up.
#[derive(Debug)]
pub struct Dialog {
    handle: SessionHandle,
}

impl Dialog {
    /// Its session.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.handle.session
    }

    /// The next event; after [`DialogEvent::Ended`] the same end again. Cancel safe.
    pub async fn next_event(&mut self) -> DialogEvent {
        loop {
            let event = match self.handle.next().await {
                Ok(event) => event,
                Err(end) => return DialogEvent::Ended(end),
            };
            return match event {
                Event::Confirmed { sdp, .. } => DialogEvent::Confirmed { sdp },
                Event::Offer { method, sdp, .. } => DialogEvent::Offer {
                    method,
                    sdp,
                    responder: OfferResponder {
                        link: self.handle.link.clone(),
                        session: Some(self.handle.session),
                    },
                },
                Event::OfferConfirmed { sdp, .. } => DialogEvent::OfferConfirmed { sdp },
                Event::ReinviteAnswered { sdp, .. } => DialogEvent::ReinviteAnswered { sdp },
                Event::ReinviteFailed { status, .. } => DialogEvent::ReinviteFailed { status },
                Event::Info {
                    digit,
                    content_type,
                    body,
                    ..
                } => DialogEvent::Info {
                    digit,
                    content_type,
                    body,
                },
                Event::Refer { progress, .. } => DialogEvent::Refer { progress },
                Event::Ended { end, .. } => DialogEvent::Ended(*end),
                // Leftovers of the time before the answer.
                _ => continue,
            };
        }
    }

    /// Hangs up; [`DialogEvent::Ended`] follows. `reason` is the value of a Reason header field.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn bye(&self, reason: Option<String>) -> Result<(), UserAgentError> {
        self.handle.command(Command::End { reason }).await
    }

    /// Asks the peer to call `target` (blind transfer); [`DialogEvent::Refer`] reports.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended or a transfer is under way.
    pub async fn refer(&self, target: Uri, referred_by: Option<Uri>) -> Result<(), UserAgentError> {
        self.handle
            .command(Command::Refer {
                target,
                referred_by,
            })
            .await
    }

    /// Changes the session; [`DialogEvent::ReinviteAnswered`] or `ReinviteFailed` follows.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended or another change is under way.
    pub async fn reinvite(&self, sdp: SessionDescription) -> Result<(), UserAgentError> {
        self.handle.command(Command::Reinvite { sdp }).await
    }
}

/// Answers the peer's wish to change the session. Dropping it refuses with 488.
#[derive(Debug)]
pub struct OfferResponder {
    link: Link,
    /// Taken when answered.
    session: Option<SessionId>,
}

impl OfferResponder {
    /// Accepts with our answer (or our offer, if the peer sent none).
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn answer(mut self, sdp: SessionDescription) -> Result<(), UserAgentError> {
        self.finish(Command::AnswerOffer { sdp }).await
    }

    /// Refuses; the session stays as it was.
    ///
    /// # Errors
    /// [`UserAgentError`] when the call has ended meanwhile.
    pub async fn reject(mut self, status: StatusCode) -> Result<(), UserAgentError> {
        self.finish(Command::RejectOffer { status }).await
    }

    async fn finish(&mut self, command: Command) -> Result<(), UserAgentError> {
        match self.session.take() {
            Some(session) => self.link.command(session, command).await,
            None => Ok(()),
        }
    }
}

impl Drop for OfferResponder {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let status = StatusCode::NOT_ACCEPTABLE_HERE;
            self.link.release(session, Command::RejectOffer { status });
        }
    }
}
