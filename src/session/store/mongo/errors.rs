//! The driver's errors in the store's words: what is surely not applied, what is unknown, what is permanent.

use super::super::{Applied, Operation, StoreError};
use mongodb::error::{Error, ErrorKind, WriteFailure};

/// The server that refuses in these ways has not applied the write: not primary, shutting down.
const NOT_APPLIED: [i32; 6] = [10107, 11600, 11602, 13436, 189, 91];
const DUPLICATE_KEY: i32 = 11000;
const TOO_LARGE: i32 = 10334;

/// An outage, with what is known of the write.
pub fn unavailable(during: Operation, applied: Applied, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { during, applied, source: Box::new(source) }
}

/// Whatever is not surely something else is an outage with an unknown outcome, never "absent".
pub fn map(during: Operation, error: Error) -> StoreError {
    let is_read = matches!(during, Operation::Load | Operation::List);
    let applied = match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY => return StoreError::Taken,
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == TOO_LARGE => return StoreError::TooLarge,
        ErrorKind::Command(command) if command.code == TOO_LARGE => return StoreError::TooLarge,
        ErrorKind::InvalidArgument { .. } if matches!(during, Operation::Create | Operation::Update) => return StoreError::TooLarge,
        ErrorKind::Command(command) if NOT_APPLIED.contains(&command.code) => Applied::No,
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

/// Whether a name could not be resolved, which may pass.
pub fn is_resolution(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::DnsResolve { .. } | ErrorKind::Io(_))
}

/// The server's error code, if it is one of a command.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// A message that repeats nothing of what stands before the `@` of the address.
pub fn without_password(message: &str, uri: &str) -> String {
    let credentials = uri.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(credentials, _)| credentials);
    match credentials {
        Some(credentials) if !credentials.is_empty() => {
            let password = credentials.split_once(':').map_or("", |(_, password)| password);
            let message = message.replace(credentials, "…");
            if password.is_empty() { message } else { message.replace(password, "…") }
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_the_password() {
        let uri = "mongodb://ada:s3cret@host/?w=1";

        assert_eq!(without_password("bad uri mongodb://ada:s3cret@host, s3cret", uri), "bad uri mongodb://…@host, …");
    }
}
