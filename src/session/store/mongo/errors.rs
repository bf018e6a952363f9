//! The driver's errors in the store's words: what is surely not applied, what is unknown, what is permanent.

use super::super::{Applied, Operation, StoreError};
use mongodb::error::{Error, ErrorKind, WriteFailure};

/// A single server, where nobody can depose anybody: it knows no linearizable reads.
pub const NOT_A_REPLICA_SET: i32 = 123;
const DUPLICATE_KEY: i32 = 11000;
/// Larger than BSON allows; larger than that after an update; message too large to parse.
const TOO_LARGE: [i32; 3] = [10334, 17419, 17420];
/// Of commands that may succeed when they are sent again.
const PASSING: [i32; 12] = [6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436];

/// An outage, with what is known of the write.
pub fn unavailable(during: Operation, applied: Applied, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { during, applied, source: Box::new(source) }
}

/// Whatever is not surely something else is an outage with an unknown outcome, never "absent".
///
/// A server that says it is not the primary, or shuts down, has not applied the write; but it may have been the second one that the
/// driver asked, and of the first one's answer the error tells nothing.
pub fn map(during: Operation, error: Error) -> StoreError {
    let is_read = during.is_read();
    let applied = match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY => return StoreError::Taken,
        ErrorKind::Write(WriteFailure::WriteError(write)) if TOO_LARGE.contains(&write.code) => return StoreError::TooLarge,
        ErrorKind::Command(command) if TOO_LARGE.contains(&command.code) => return StoreError::TooLarge,
        ErrorKind::InvalidArgument { .. } if matches!(during, Operation::Create | Operation::Update) => return StoreError::TooLarge,
        ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. } => Applied::No,
        ErrorKind::Authentication { .. } => {
            tracing::error!("MongoDB refuses our credentials: check the user and password in [store] uri");
            Applied::No
        }
        _ if is_read => Applied::No,
        _ => Applied::Unknown,
    };
    unavailable(during, applied, error)
}

/// Whether MongoDB says so of a document or a command.
pub fn is_too_large(code: i32) -> bool {
    TOO_LARGE.contains(&code)
}

/// Whether another server, or another connection, may do what this one did not: what the driver tries again by itself.
pub fn is_passing(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(command) => is_passing_code(command.code),
        _ => false,
    }
}

/// Whether a server answers, and will not do it.
pub fn is_refusal(error: &Error) -> bool {
    code(error).is_some_and(|code| !is_passing_code(code))
}

/// A server that is no primary any more, or shuts down, or lost its peers.
/// <https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md>
pub fn is_passing_code(code: i32) -> bool {
    PASSING.contains(&code)
}

/// The server's error code, if it is one of a command.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::error::CommandError;

    #[test]
    fn a_refusal_by_a_server_that_is_no_primary_does_not_say_that_a_write_never_happened() {
        for code in [10107, 11600, 11602, 13436, 189, 91] {
            let refusal: CommandError = serde_json::from_value(serde_json::json!({ "code": code })).unwrap();

            let told = map(Operation::Update, ErrorKind::Command(refusal).into());

            assert!(matches!(told, StoreError::Unavailable { applied: Applied::Unknown, .. }), "{code}: {told:?}");
        }
    }
}
