//! The indexes: connect-mongo's TTL index to the letter (any other options would break a Node app's start), and ours by user and by handle.

use super::{epochs, errors};
use crate::mongo::LateClient;
use crate::telemetry::chain;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use std::sync::Weak;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(2);

/// Index of the same key with other options; other index of the same name; collection not there yet.
const OPTIONS_CONFLICT: i32 = 85;
const NAME_CONFLICT: i32 = 86;
const NO_COLLECTION: i32 = 26;

/// Makes the indexes once MongoDB answers. Ends by itself when they stand or the store is gone; never fails the start.
pub fn keep_trying(connection: Weak<LateClient>, database: String, collection: String) {
    tokio::spawn(async move {
        let mut waits = false;
        while let Some(connected) = connection.upgrade() {
            let result = match connected.client().await {
                Ok(client) => ensure(&client.database(&database).collection(&collection)).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) if waits => return tracing::info!("MongoDB answers, and the indexes stand"),
                Ok(()) => return,
                Err(error) if !waits && errors::is_refusal(&error) => {
                    tracing::warn!(error = chain(&error), "MongoDB refuses our indexes; it is asked again until it makes them");
                }
                Err(error) if !waits => tracing::warn!(error = chain(&error), "MongoDB does not answer; it is asked again until it does"),
                Err(error) => tracing::debug!(error = chain(&error), "MongoDB does not answer yet"),
            }
            waits = true;
            drop(connected);
            tokio::time::sleep(PAUSE).await;
        }
    });
}

async fn ensure(sessions: &Collection<RawDocumentBuf>) -> mongodb::error::Result<()> {
    let existing = existing(sessions).await?;
    let on_expiry = existing.iter().find(|index| is_on_expiry(index));
    match on_expiry {
        // Whatever its delay: expiry is checked in each query, the index only tidies up.
        Some(index) if index.contains_key("expireAfterSeconds") => {}
        _ => make(sessions, doc! { "key": { "expires": 1 }, "name": "expires_1", "background": true, "expireAfterSeconds": 0 }).await?,
    }
    let has_user = doc! { "userId": { "$exists": true } };
    make(sessions, doc! { "key": { "userId": 1, "handle": 1 }, "name": "cloakroom_user", "partialFilterExpression": has_user }).await?;
    let has_handle = doc! { "handle": { "$exists": true } };
    make(sessions, doc! { "key": { "handle": 1 }, "name": "cloakroom_handle", "partialFilterExpression": has_handle }).await?;
    make(&epochs::beside(sessions), doc! { "key": { "expires": 1 }, "name": "expires_1", "expireAfterSeconds": 0 }).await
}

/// The indexes as the server tells them: the driver's own type fails on options that it does not know.
async fn existing(sessions: &Collection<RawDocumentBuf>) -> mongodb::error::Result<Vec<Document>> {
    let database = sessions.client().database(&sessions.namespace().db);
    // One batch holds them all: a collection has at most 64.
    let answer = match database.run_command(doc! { "listIndexes": sessions.name(), "cursor": { "batchSize": 1000 } }).await {
        Ok(answer) => answer,
        Err(error) if errors::code(&error) == Some(NO_COLLECTION) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    Ok(batch.map_or_else(|_| Vec::new(), |batch| batch.iter().filter_map(Bson::as_document).cloned().collect()))
}

/// Whether an index is on `expires` alone, in whatever number type its direction was given.
fn is_on_expiry(index: &Document) -> bool {
    index.get_document("key").is_ok_and(|key| key.len() == 1 && key.contains_key("expires"))
}

async fn make<T: Send + Sync>(sessions: &Collection<T>, index: Document) -> mongodb::error::Result<()> {
    let database = sessions.client().database(&sessions.namespace().db);
    let Err(error) = database.run_command(doc! { "createIndexes": sessions.name(), "indexes": [&index] }).await else { return Ok(()) };
    let cure = match (errors::code(&error), index.contains_key("expireAfterSeconds")) {
        (Some(OPTIONS_CONFLICT), true) => {
            format!("db.runCommand({{ collMod: {:?}, index: {{ keyPattern: {{ expires: 1 }}, expireAfterSeconds: 0 }} }})", sessions.name())
        }
        (Some(OPTIONS_CONFLICT | NAME_CONFLICT), _) => {
            let name = index.get_str("name").unwrap_or_default();
            format!("db.runCommand({{ dropIndexes: {:?}, index: {name:?} }}), then restart Cloakroom", sessions.name())
        }
        _ => return Err(error),
    };
    tracing::warn!(
        error = chain(&error),
        cure,
        "an index is in the way of ours; sessions work, but expired ones may stay or lists be slow"
    );
    Ok(())
}
