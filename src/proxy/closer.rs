//! How one open connection is asked to close, and why.

use std::sync::atomic::{AtomicU16, Ordering};
use tokio::sync::Notify;

/// RFC 6455 section 7.4.1: the server is going away; the message violates a policy.
pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const POLICY: u16 = 1008;

/// Asks one open connection to close, with the code of a WebSocket's close frame.
#[derive(Default)]
pub(super) struct Closer {
    /// 0 until it is asked.
    code: AtomicU16,
    bell: Notify,
}

impl Closer {
    /// That the session is over counts more than that the process ends.
    pub fn ring(&self, code: u16) {
        self.code.fetch_max(code, Ordering::AcqRel);
        self.bell.notify_one();
    }

    /// Whether it was asked because its session is over.
    pub fn is_for_its_session(&self) -> bool {
        self.code.load(Ordering::Acquire) >= POLICY
    }

    /// Resolves with the code once it is as much as this. Only one may wait at a time.
    pub async fn rung(&self, least: u16) -> u16 {
        loop {
            let code = self.code.load(Ordering::Acquire);
            if code >= least {
                return code;
            }
            self.bell.notified().await;
        }
    }
}
