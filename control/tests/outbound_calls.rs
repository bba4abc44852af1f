//! Calls placed over the API through a SIP trunk; sipp is whom they call.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::called_party::CalledParty;
use support::owner::Owner;
use support::server::Server;

async fn create_call(owner: &Owner<'_>, number: &str, variables: Value) -> Value {
    let path = format!(
        "/api/call/create_call?phoneNumber={}&agent_id={}",
        number.replace('+', "%2B"),
        owner.agent
    );
    owner
        .ask("POST", &path, json!({ "variable_values": variables }))
        .await
}

async fn ended(server: &Server, id: &str) -> Value {
    server
        .wait_for("the end of the call", Duration::from_secs(90), async |s| {
            let call = s.get(&format!("/v1/calls/{id}")).await;
            (!call["ended_at"].is_null()).then_some(call)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_taking_a_call_is_told_and_kept() {
    let party = CalledParty::start();
    let settings = [("SAMVAD_OUTBOUND__RING_MAX", "4s")];
    let server = Server::start(&settings).await;
    let owner = Owner::new(&server, &party.address()).await;
    let mut placed = Vec::new();
    for (number, outcome, detail, status, cause) in [
        ("+15550100000", "answered", None, Some(200), None),
        ("+15550100004", "busy", None, Some(486), Some(17)),
        ("+15550100005", "no_answer", None, None, None),
        ("+15550100006", "rejected", None, Some(603), None),
        ("+15550100007", "failed", Some("carrier_silent"), None, None),
        ("+15550100008", "answered", None, Some(200), None),
        (
            "+15550100009",
            "failed",
            Some("carrier_error"),
            Some(503),
            None,
        ),
    ] {
        let made = create_call(&owner, number, json!({ "name": "Asha", "visits": 2 })).await;
        assert_eq!(made["status"], "success", "{made}");
        assert_eq!(made["target_number"], number);
        let id = made["call_session_id"].as_str().unwrap().to_owned();
        placed.push((id, number, outcome, detail, status, cause));
    }
    for (id, number, outcome, detail, status, cause) in &placed {
        let call = ended(&server, id).await;
        let dial = &call["dial"];
        assert_eq!(dial["outcome"], *outcome, "{number} {call}");
        assert_eq!(dial["detail"], json!(detail), "{number} {call}");
        assert_eq!(dial["sip_status"], json!(status), "{number} {call}");
        assert_eq!(dial["q850_cause"], json!(cause), "{number} {call}");
        assert_eq!(call["direction"], "outbound");
        assert_eq!(call["called"], *number);
        assert_eq!(call["variables"]["visits"], "2");
        assert_eq!(*outcome == "answered", !call["answered_at"].is_null());
        if *number == "+15550100000" {
            assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call}");
        }
    }
    let reached = party.calls();
    assert_eq!(reached.len(), placed.len(), "{reached:?}");
    for (id, number, ..) in &placed {
        // The id of the call is its Call-ID.
        assert_eq!(
            reached[*number],
            std::slice::from_ref(id),
            "{}",
            party.errors()
        );
    }
    assert_eq!(server.metric("samvad_calls_active").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_placed_says_so_and_leaves_a_record() {
    let server = Server::start(&[]).await;
    // Nobody is at this address, and the name does not exist.
    let owner = Owner::new(&server, "nobody.invalid").await;
    let made = create_call(&owner, "+15550100000", json!({})).await;
    assert_eq!(made["status"], "failed", "{made}");
    assert!(made["detail"].as_str().unwrap().contains("trunk"), "{made}");
    let id = made["call_session_id"].as_str().unwrap();
    let call = ended(&server, id).await;
    assert_eq!(call["dial"]["detail"], "line_unavailable", "{call}");
    for (query, status) in [
        ("phoneNumber=front-desk", 400),
        ("", 400),
        ("phoneNumber=%2B15550100000&phone_number_id=not-an-id", 400),
        (
            "phoneNumber=%2B15550100000&phone_number_id=00000000-0000-7000-8000-000000000009",
            500,
        ),
        (
            "phoneNumber=%2B15550100000&agent_id=00000000-0000-7000-8000-000000000009",
            404,
        ),
    ] {
        let path = format!("/api/call/create_call?{query}");
        assert_eq!(
            owner.status("POST", &path, Value::Null).await,
            status,
            "{query}"
        );
    }
    let foreign = owner
        .request("POST", "/api/call/create_call?phoneNumber=%2B15550100000")
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    let vaani = json!({ "agent_phone_number": owner.number, "phone_number_to_dial": "+15550100001",
                        "dynamic_variables": { "name": "Asha" } });
    let made = owner.cookie("POST", "/calls/outbound_call", vaani).await;
    assert_eq!(made["status"], "failed", "{made}");
    let call = ended(&server, made["call_id"].as_str().unwrap()).await;
    assert_eq!(call["called"], "+15550100001");
}
