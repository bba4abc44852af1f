//! A room of one caller and one agent, as the client is told of it.

use std::collections::HashMap;

use livekit_protocol as proto;
use proto::participant_info::{Kind, State};
use rand::distr::{Alphanumeric, SampleString};

use super::grant::Grant;
use super::packets::Sender;

/// Protocol that we speak; below 18 data channels are opened by the client in band.
const PROTOCOL: i32 = 16;
/// LiveKit's server version whose behaviour clients may expect: they call procedures from 1.8 on.
const VERSION: &str = "1.8.0";
/// Seconds between the client's pings, and after which it gives up on us.
const PING_INTERVAL_S: i32 = 5;
const PING_TIMEOUT_S: i32 = 15;
/// Tracks that one client may publish.
const TRACKS_MAX: usize = 8;

/// What is known of the room.
#[derive(Debug)]
pub(super) struct Room {
    grant: Grant,
    room_sid: String,
    pub(super) caller_sid: String,
    pub(super) agent_sid: String,
    pub(super) agent_identity: String,
    agent_name: String,
    /// Track of the agent's voice.
    pub(super) voice: String,
    /// State as livekit-agents names it.
    state: &'static str,
    agent_version: u32,
    caller_version: u32,
    tracks: Vec<proto::TrackInfo>,
    joined_ms: i64,
}

impl Room {
    pub(super) fn new(grant: Grant, agent_id: &str, agent_name: &str, joined_ms: i64) -> Self {
        Self {
            room_sid: sid("RM_"),
            caller_sid: sid("PA_"),
            agent_sid: sid("PA_"),
            agent_identity: format!("agent-{agent_id}"),
            agent_name: agent_name.to_owned(),
            voice: sid("TR_"),
            state: "initializing",
            agent_version: 1,
            caller_version: 1,
            tracks: Vec::new(),
            joined_ms,
            grant,
        }
    }

    /// What the caller is called.
    pub(super) fn caller(&self) -> Sender<'_> {
        Sender {
            identity: &self.grant.identity,
            sid: &self.caller_sid,
        }
    }

    /// What the agent is called.
    pub(super) fn agent(&self) -> Sender<'_> {
        Sender {
            identity: &self.agent_identity,
            sid: &self.agent_sid,
        }
    }

    /// The caller's permissions.
    pub(super) const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Stream and track of the agent's voice in descriptions.
    pub(super) fn voice_names(&self) -> (String, String) {
        (
            format!("{}|{}", self.agent_sid, self.voice),
            self.voice.clone(),
        )
    }

    /// The first message.
    pub(super) fn join_response(&self) -> proto::JoinResponse {
        let codec = proto::Codec {
            mime: "audio/opus".to_owned(),
            fmtp_line: String::new(),
        };
        proto::JoinResponse {
            room: Some(self.room_info()),
            participant: Some(self.caller_info()),
            other_participants: vec![self.agent_info()],
            server_version: VERSION.to_owned(),
            subscriber_primary: false,
            ping_interval: PING_INTERVAL_S,
            ping_timeout: PING_TIMEOUT_S,
            server_info: Some(proto::ServerInfo {
                version: VERSION.to_owned(),
                protocol: PROTOCOL,
                ..proto::ServerInfo::default()
            }),
            enabled_publish_codecs: vec![codec],
            fast_publish: self.grant.can_publish,
            ..proto::JoinResponse::default()
        }
    }

    fn room_info(&self) -> proto::Room {
        proto::Room {
            sid: self.room_sid.clone(),
            name: self.grant.room.clone(),
            max_participants: 2,
            num_participants: 2,
            creation_time: self.joined_ms / 1_000,
            creation_time_ms: self.joined_ms,
            ..proto::Room::default()
        }
    }

    /// The caller as everybody sees it.
    pub(super) fn caller_info(&self) -> proto::ParticipantInfo {
        let grant = &self.grant;
        proto::ParticipantInfo {
            sid: self.caller_sid.clone(),
            identity: grant.identity.clone(),
            name: grant.name.clone(),
            metadata: grant.metadata.clone(),
            attributes: grant.attributes.iter().cloned().collect(),
            state: State::Active.into(),
            tracks: self.tracks.clone(),
            joined_at: self.joined_ms / 1_000,
            joined_at_ms: self.joined_ms,
            version: self.caller_version,
            permission: Some(proto::ParticipantPermission {
                can_subscribe: grant.can_subscribe,
                can_publish: grant.can_publish,
                can_publish_data: grant.can_publish_data,
                ..proto::ParticipantPermission::default()
            }),
            is_publisher: !self.tracks.is_empty(),
            kind: Kind::Standard.into(),
            ..proto::ParticipantInfo::default()
        }
    }

    /// The agent as everybody sees it.
    pub(super) fn agent_info(&self) -> proto::ParticipantInfo {
        let mut voice = proto::TrackInfo {
            sid: self.voice.clone(),
            name: "roomio_audio".to_owned(),
            mime_type: "audio/opus".to_owned(),
            stream: "voice".to_owned(),
            disable_red: true,
            ..proto::TrackInfo::default()
        };
        voice.set_type(proto::TrackType::Audio);
        voice.set_source(proto::TrackSource::Microphone);
        proto::ParticipantInfo {
            sid: self.agent_sid.clone(),
            identity: self.agent_identity.clone(),
            name: self.agent_name.clone(),
            attributes: HashMap::from([
                ("lk.agent.state".to_owned(), self.state.to_owned()),
                ("lk.agent.name".to_owned(), self.agent_name.clone()),
            ]),
            state: State::Active.into(),
            tracks: vec![voice],
            joined_at: self.joined_ms / 1_000,
            joined_at_ms: self.joined_ms,
            version: self.agent_version,
            permission: Some(proto::ParticipantPermission {
                can_subscribe: true,
                can_publish: true,
                can_publish_data: true,
                ..proto::ParticipantPermission::default()
            }),
            is_publisher: true,
            kind: Kind::Agent.into(),
            ..proto::ParticipantInfo::default()
        }
    }

    /// Notes the conversation's state; `true` when clients must be told.
    pub(super) fn set_state(&mut self, state: &str) -> bool {
        let named = match state {
            "listening" => "listening",
            "thinking" | "tool" => "thinking",
            "speaking" => "speaking",
            _ => return false,
        };
        let changed = self.state != named;
        self.state = named;
        self.agent_version += u32::from(changed);
        changed
    }

    /// Publishes a track of the caller; `None` when it may not.
    pub(super) fn publish(
        &mut self,
        request: &proto::AddTrackRequest,
    ) -> Option<proto::TrackPublishedResponse> {
        let audio = request.r#type() == proto::TrackType::Audio;
        if !self.grant.can_publish || !audio || self.tracks.len() >= TRACKS_MAX {
            return None;
        }
        let mut track = proto::TrackInfo {
            sid: sid("TR_"),
            name: request.name.clone(),
            muted: request.muted,
            source: request.source,
            mime_type: "audio/opus".to_owned(),
            stream: request.stream.clone(),
            disable_red: true,
            ..proto::TrackInfo::default()
        };
        track.set_type(proto::TrackType::Audio);
        self.tracks.push(track.clone());
        self.caller_version += 1;
        Some(proto::TrackPublishedResponse {
            cid: request.cid.clone(),
            track: Some(track),
        })
    }

    /// Notes that the caller has muted a track; `false` when there is no such track.
    pub(super) fn mute(&mut self, request: &proto::MuteTrackRequest) -> bool {
        let track = self.tracks.iter_mut().find(|t| t.sid == request.sid);
        let Some(track) = track else {
            return false;
        };
        track.muted = request.muted;
        self.caller_version += 1;
        true
    }

    /// Track of the caller's voice.
    pub(super) fn caller_track(&self) -> &str {
        self.tracks.first().map_or("", |track| &track.sid)
    }
}

/// A name as LiveKit makes them.
fn sid(prefix: &str) -> String {
    format!(
        "{prefix}{}",
        Alphanumeric.sample_string(&mut rand::rng(), 12)
    )
}
