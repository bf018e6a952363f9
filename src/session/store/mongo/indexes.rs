//! The indexes: connect-mongo's TTL index to the letter (any other options would break a Node app's start), and ours by user.

use super::{Shared, errors};
use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::{Collection, IndexModel};
use std::sync::Weak;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(2);

/// Index of the same key with other options; other index of the same name; collection not there yet.
const OPTIONS_CONFLICT: i32 = 85;
const NAME_CONFLICT: i32 = 86;
const NO_COLLECTION: i32 = 26;

/// Makes the indexes once MongoDB answers. Ends by itself when they stand or the store is gone; never fails the start.
pub fn keep_trying(shared: Weak<Shared>) {
    tokio::spawn(async move {
        while let Some(store) = shared.upgrade() {
            match store.collection().await {
                Ok(collection) => match ensure(&collection).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "the session indexes wait for MongoDB"),
                },
                Err(error) => tracing::debug!(%error, "the session indexes wait for MongoDB"),
            }
            drop(store);
            tokio::time::sleep(PAUSE).await;
        }
    });
}

async fn ensure(collection: &Collection<RawDocumentBuf>) -> mongodb::error::Result<()> {
    let existing: Vec<IndexModel> = match collection.list_indexes().await {
        Ok(cursor) => cursor.try_collect().await?,
        Err(error) if errors::code(&error) == Some(NO_COLLECTION) => Vec::new(),
        Err(error) => return Err(error),
    };
    let expires_by_itself =
        |index: &IndexModel| index.keys == doc! { "expires": 1 } && index.options.as_ref().is_some_and(|o| o.expire_after.is_some());
    if !existing.iter().any(expires_by_itself) {
        make(collection, doc! { "key": { "expires": 1 }, "name": "expires_1", "background": true, "expireAfterSeconds": 0 }).await?;
    }
    let has_user = doc! { "userId": { "$exists": true } };
    make(collection, doc! { "key": { "userId": 1, "expires": 1 }, "name": "cloakroom_user", "partialFilterExpression": has_user }).await
}

async fn make(collection: &Collection<RawDocumentBuf>, index: Document) -> mongodb::error::Result<()> {
    let database = collection.client().database(&collection.namespace().db);
    match database.run_command(doc! { "createIndexes": collection.name(), "indexes": [index] }).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(errors::code(&error), Some(OPTIONS_CONFLICT | NAME_CONFLICT)) => {
            let cure = format!(
                "db.runCommand({{ collMod: {:?}, index: {{ keyPattern: {{ expires: 1 }}, expireAfterSeconds: 0 }} }})",
                collection.name()
            );
            tracing::warn!(%error, cure, "an index with other options is in the way; sessions work, but expired ones may stay");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
