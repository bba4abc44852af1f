//! The task beside each worker that does what the worker must not: wake tasks and free legs.

use rtrb::Consumer;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::leg::LegEnd;
use crate::net::control::LegSummary;
use crate::net::worker::{ActiveLeg, Ready};

/// Octets of rings taken in one read.
const RINGS: usize = 64;

/// Works until the worker lets go of its end.
pub(crate) async fn run(mut ready: Consumer<Ready>, mut bell: UnixStream) {
    let mut rings = [0; RINGS];
    loop {
        // Zero octets: the worker is gone and the rest of the queue is all there will be.
        let gone = !matches!(bell.read(&mut rings).await, Ok(1..));
        while let Ok(item) = ready.pop() {
            match item {
                Ready::Wake(waker) => waker.wake(),
                Ready::Finished(leg) => finish(*leg),
            }
        }
        if gone {
            return;
        }
    }
}

/// Frees a leg and tells everybody who waits for that.
fn finish(leg: ActiveLeg) {
    let ActiveLeg {
        mut session,
        ports,
        summary,
        failed,
        ..
    } = leg;
    let end = LegSummary {
        end: session
            .ended()
            .filter(|_| !failed)
            .unwrap_or(LegEnd::Failed),
        statistics: session.statistics(),
        remote: session.peer(),
    };
    let wakers = session.wakers();
    drop(session);
    drop(ports);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
    summary.send_replace(Some(end));
}
