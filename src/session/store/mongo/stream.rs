//! The collection's change stream: what anybody writes is told to the cache within milliseconds.
//!
//! The cache may tell what it holds only as long as it hears from us, so every batch counts, the empty ones included: the server sends
//! one at least every [`WAIT`]. After a failover the stream goes on from its last token and nothing is missed; if it cannot, because
//! the server has forgotten that place, the cache is emptied and the stream begins anew.

use super::super::cached::{Change, Shelf};
use super::errors;
use crate::clock::{Moment, Timestamp};
use crate::mongo::LateClient;
use crate::session::id::SessionKey;
use crate::session::record::WriteToken;
use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::{Collection, raw_batch_cursor::RawBatch, raw_batch_cursor::RawBatchCursor};
use std::sync::Weak;
use std::time::Duration;

/// How long the server waits for a change before it sends an empty batch.
const WAIT: Duration = Duration::from_millis(300);

/// A batch with fewer changes has brought all there were.
const BATCH: u32 = 1000;

/// Pauses after a failure, and where there is no stream at all.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const ABSENT_PAUSE: Duration = Duration::from_secs(30);

/// What a touch sets, ours and connect-mongo's.
const USE: [&str; 6] = ["expires", "updatedAt", "lastModified", "client", "client.agent", "client.address"];

/// The server has no change streams (not a replica set; not known at all), or we may not use them.
const UNSUPPORTED: [i32; 5] = [40573, 40324, 59, 115, 13];

/// After these the stream goes on from its token (the drivers' specification of change streams, "resumable error"). After another
/// command error it cannot.
const RESUMABLE: [i32; 18] = [6, 7, 43, 63, 89, 91, 133, 150, 189, 234, 237, 262, 9001, 10107, 11600, 11602, 13435, 13436];

/// Why the stream stopped.
enum Stop {
    /// Nobody is left to tell.
    Nobody,
    /// There is none.
    Absent(Error),
    /// It goes on from its token.
    Broken(Error),
    /// Changes may have been missed: the token is of no use, or the collection was dropped or renamed.
    Lost(Option<Error>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match errors::code(&error) {
            Some(code) if UNSUPPORTED.contains(&code) => Stop::Absent(error),
            Some(code) if !RESUMABLE.contains(&code) => Stop::Lost(Some(error)),
            _ => Stop::Broken(error),
        }
    }
}

/// Which collection is followed, as long as its connection exists.
pub struct Place {
    pub connection: Weak<LateClient>,
    pub database: String,
    pub collection: String,
}

impl Place {
    async fn collection(&self) -> Result<Collection<RawDocumentBuf>, Stop> {
        let connection = self.connection.upgrade().ok_or(Stop::Nobody)?;
        Ok(connection.client().await?.database(&self.database).collection(&self.collection))
    }
}

/// Follows the stream until the store or the cache is gone.
pub async fn follow(place: Place, shelf: Weak<Shelf>) {
    let (mut token, mut pause) = (None, FIRST_PAUSE);
    loop {
        let had = token.clone();
        let stop = listen(&place, &shelf, &mut token).await;
        if token != had {
            pause = FIRST_PAUSE;
        }
        let Some(shelf) = shelf.upgrade() else { return };
        match stop {
            Stop::Nobody => return,
            Stop::Absent(error) => {
                shelf.stream().declare_absent();
                tracing::info!(%error, "MongoDB tells no changes: what other proxies end is seen here after the cache's ttl");
                token = None;
                pause = ABSENT_PAUSE;
            }
            Stop::Broken(error) => tracing::debug!(%error, "the change stream broke off"),
            Stop::Lost(error) => {
                let error = error.map(tracing::field::display);
                tracing::warn!(error, "changes may have been missed: the session cache is emptied, and the change stream begins anew");
                token = None;
                shelf.stream().lose();
                shelf.clear();
            }
        }
        drop(shelf);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Opens the stream, at the token if there is one, and tells what comes.
async fn listen(place: &Place, shelf: &Weak<Shelf>, token: &mut Option<Document>) -> Stop {
    match tell_all(place, shelf, token).await {
        Ok(stop) | Err(stop) => stop,
    }
}

async fn tell_all(place: &Place, shelf: &Weak<Shelf>, token: &mut Option<Document>) -> Result<Stop, Stop> {
    let mut asked = moment(shelf)?;
    let collection = place.collection().await?;
    let mut batches = open(&collection, token.as_ref()).await?;
    let is_new = token.is_none();
    if is_new {
        shelf.upgrade().ok_or(Stop::Nobody)?.stream().begin(moment(shelf)?);
    }
    // The first batch of a stream that goes on need not hold all that was missed.
    let mut is_complete = is_new;
    while let Some(batch) = batches.try_next().await? {
        let shelf = shelf.upgrade().ok_or(Stop::Nobody)?;
        let told = tell(&shelf, &batch)?;
        if is_complete && told < BATCH && is_up_to_date(&batch) {
            shelf.stream().hear(asked);
        }
        *token = resume_token(&batch).or(token.take());
        is_complete = true;
        asked = shelf.moment();
    }
    // The server closed the cursor.
    Err(Stop::Lost(None))
}

fn moment(shelf: &Weak<Shelf>) -> Result<Moment, Stop> {
    Ok(shelf.upgrade().ok_or(Stop::Nobody)?.moment())
}

async fn open(collection: &Collection<RawDocumentBuf>, token: Option<&Document>) -> Result<RawBatchCursor, Error> {
    let database = collection.client().database(&collection.namespace().db);
    let command = doc! { "aggregate": collection.name(), "pipeline": pipeline(token), "cursor": { "batchSize": BATCH } };
    database.run_cursor_command(command).batch_size(BATCH).max_time(WAIT).batch().await
}

/// Of each change no more than is needed travels: neither the session's data nor who used it.
fn pipeline(token: Option<&Document>) -> Vec<Document> {
    let from = token.map_or_else(Document::new, |token| doc! { "resumeAfter": token.clone() });
    let kinds = ["update", "replace", "delete", "drop", "rename", "dropDatabase", "invalidate"];
    let set = "$updateDescription.updatedFields";
    let names = doc! { "$map": { "input": { "$objectToArray": { "$ifNull": [set, {}] } }, "in": "$$this.k" } };
    let unset = doc! { "$size": { "$ifNull": ["$updateDescription.removedFields", []] } };
    // An update tells what it set, a replacement tells the whole document.
    let field = |name: &str| doc! { "$ifNull": [format!("{set}.{name}"), format!("$fullDocument.{name}")] };
    let is_set = |name: &str| doc! { "$ne": [{ "$type": field(name) }, "missing"] };
    let project = doc! {
        "operationType": 1,
        "documentKey": 1,
        "revision": field("revision"),
        "lastWrite": field("lastWrite"),
        "expires": field("expires"),
        "updatedAt": { "$ifNull": [field("updatedAt"), field("lastModified")] },
        "moved": is_set("moved"),
        "ended": is_set("ended"),
        "isUse": { "$and": [
            { "$eq": ["$operationType", "update"] }, { "$setIsSubset": [names, USE.as_slice()] }, { "$eq": [unset, 0] },
        ] },
    };
    // What is inserted was not there before, so nobody has it cached; that it was not there is remembered for one `ttl` only.
    vec![doc! { "$changeStream": from }, doc! { "$match": { "operationType": { "$in": kinds.as_slice() } } }, doc! { "$project": project }]
}

/// Tells the changes of one batch; how many there were.
fn tell(shelf: &Shelf, batch: &RawBatch) -> Result<u32, Stop> {
    let mut told = 0;
    for event in batch.doc_slices()? {
        let Some(event) = event.map_err(Error::from)?.as_document() else { continue };
        let key = || Some(SessionKey::stored(event.get_document("documentKey").ok()?.get_str("_id").ok()?.to_owned()));
        match (event.get_str("operationType").unwrap_or_default(), key()) {
            ("update" | "replace" | "delete", Some(key)) => shelf.changed(&key, &change(event)),
            // A key that is no text is none of ours.
            ("update" | "replace" | "delete", None) => {}
            _ => return Err(Stop::Lost(None)),
        }
        told += 1;
    }
    Ok(told)
}

fn change(event: &RawDocument) -> Change {
    let moment = |name: &str| Some(Timestamp(event.get_datetime(name).ok()?.timestamp_millis()));
    let is_true = |name: &str| matches!(event.get_bool(name), Ok(true));
    if matches!(event.get_str("operationType"), Ok("delete")) {
        return Change::Removed;
    }
    if is_true("isUse") {
        return Change::Touched { expires_at: moment("expires"), updated_at: moment("updatedAt") };
    }
    Change::Written {
        revision: event.get("revision").ok().flatten().and_then(super::document::revision_of),
        mark: event.get_str("lastWrite").ok().map(|mark| WriteToken(mark.to_owned())),
        expires_at: moment("expires"),
        moved: is_true("moved"),
        ended: is_true("ended"),
    }
}

fn resume_token(batch: &RawBatch) -> Option<Document> {
    let token = batch.as_raw_document().get_document("cursor").ok()?.get_document("postBatchResumeToken").ok()?;
    Document::try_from(token).ok()
}

/// Whether the batch reaches up to the time of the server that sent it, within a second. One that lags (a shard that tells nothing, a
/// primary whose writes no majority confirms) says nothing about the present.
fn is_up_to_date(batch: &RawBatch) -> bool {
    let reply = batch.as_raw_document();
    let Ok(Some(RawBsonRef::Timestamp(server))) = reply.get("operationTime") else { return false };
    let Some(token) = resume_token(batch) else { return false };
    // A token begins with the type of a timestamp and its seconds, in hex.
    let reached = token.get("_data").and_then(Bson::as_str).and_then(|data| data.strip_prefix("82")).and_then(|data| data.get(..8));
    let reached = reached.and_then(|seconds| u32::from_str_radix(seconds, 16).ok());
    reached.is_some_and(|reached| reached.saturating_add(1) >= server.time)
}
