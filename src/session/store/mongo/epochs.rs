//! The epochs of users, in a small collection beside the sessions: `{sessions}_epochs`.

use crate::clock::Timestamp;
use crate::session::record::Epoch;
use mongodb::Collection;
use mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use mongodb::error::Result;

type Sessions = Collection<RawDocumentBuf>;

/// The collection of epochs that belongs to these sessions.
pub fn beside(sessions: &Sessions) -> Collection<Document> {
    let space = sessions.namespace();
    sessions.client().database(&space.db).collection(&format!("{}_epochs", space.coll))
}

pub async fn read(sessions: &Sessions, user: &str) -> Result<Epoch> {
    let found = beside(sessions).find_one(doc! { "_id": user }).await?;
    let epoch = found.and_then(|document| document.get_i64("epoch").ok()).and_then(|epoch| u64::try_from(epoch).ok());
    Ok(Epoch(epoch.unwrap_or(0)))
}

/// The same rule as [`Epoch::raised`], applied by the server.
pub async fn raise(sessions: &Sessions, user: &str, now: Timestamp, until: Timestamp) -> Result<()> {
    let next = doc! { "$add": [{ "$ifNull": ["$epoch", 0_i64] }, 1_i64] };
    let raised = doc! { "$set": { "epoch": { "$max": [next, now.0] }, "expires": DateTime::from_millis(until.0) } };
    beside(sessions).update_one(doc! { "_id": user }, vec![raised]).upsert(true).await.map(drop)
}
