//! What an `update` command with many statements has done to each of the documents that they name.

use super::super::{Applied, Operation, StoreError, Updated};
use super::{document, errors};
use crate::clock::Timestamp;
use crate::session::id::SessionKey;
use crate::session::record::WriteToken;
use futures_util::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use std::collections::HashMap;
use std::sync::Arc;

pub type Answer = Result<Updated, StoreError>;

/// Whom a statement is about, and how to see what it did.
pub struct Subject {
    pub during: Operation,
    pub key: SessionKey,
    pub proof: Proof,
    pub now: Timestamp,
}

/// What a document has after a change and had not before.
#[derive(Clone)]
pub enum Proof {
    /// The mark of the write, as long as nobody writes over it; and the revision, which is higher then.
    Mark(Option<WriteToken>, u64),
    /// A use at this moment, or later.
    Use(Timestamp),
}

/// What the server says of the whole command.
struct Report {
    matched: usize,
    /// Whether the command had been sent before, so that what matched nothing may have been carried out then.
    is_second: bool,
    /// Statements that it refused, by their place.
    refused: HashMap<usize, Refused>,
}

/// A statement that the server says it did not carry out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("MongoDB refused the change: {message} ({code})")]
struct Refused {
    code: i32,
    message: String,
}

/// Others have written since, over this change or before it.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost, and the session has changed more than once since")]
struct WrittenOver;

/// Carried out by a server, and perhaps not by those that come after it.
#[derive(Debug, thiserror::Error)]
#[error("the change is not confirmed: {message} ({code})")]
struct Unconfirmed {
    code: i32,
    message: String,
}

/// Sends the command, whose statements are about these in turn.
pub async fn carry_out(database: Database, collection: String, command: RawDocumentBuf, subjects: Vec<Subject>) -> Vec<Answer> {
    let report = match tried_twice(&database, command).await {
        Ok(report) => report,
        Err(error) => return subjects.iter().map(|subject| Err(errors::map(subject.during, error.clone()))).collect(),
    };
    let report = match report {
        Ok(report) => report,
        Err(unconfirmed) => {
            let unconfirmed = Arc::new(unconfirmed);
            let told = |subject: &Subject| Err(errors::unavailable(subject.during, Applied::Unknown, unconfirmed.clone()));
            return subjects.iter().map(told).collect();
        }
    };
    if report.matched + report.refused.len() == subjects.len() {
        let told =
            |(at, subject): (usize, &Subject)| report.refused.get(&at).map_or(Ok(Updated::Done), |refused| refused.told(subject.during));
        return subjects.iter().enumerate().map(told).collect();
    }
    looked_up(&database, &collection, &report, &subjects).await
}

/// The driver tries again once what it knows to be a write; commands of our own are ours to try again. Twice does no harm: each statement
/// names the version that it replaces.
async fn tried_twice(database: &Database, command: RawDocumentBuf) -> Result<Result<Report, Unconfirmed>, mongodb::error::Error> {
    let first = database.run_raw_command(command.clone()).await.map(|answer| Report::read(&answer));
    if !is_worth_another_try(&first) {
        return first;
    }
    match database.run_raw_command(command).await {
        Ok(answer) => Ok(Report::read(&answer).map(|report| Report { is_second: true, ..report })),
        // The first one may have been carried out, which the second one's error may deny.
        Err(_) => first,
    }
}

fn is_worth_another_try(answer: &Result<Result<Report, Unconfirmed>, mongodb::error::Error>) -> bool {
    answer
        .as_ref()
        .map_or_else(errors::is_passing, |report| matches!(report, Err(unconfirmed) if errors::is_passing_code(unconfirmed.code)))
}

impl Report {
    fn read(answer: &Document) -> Result<Self, Unconfirmed> {
        if let Ok(concern) = answer.get_document("writeConcernError") {
            return Err(Unconfirmed { code: code_of(concern), message: message_of(concern) });
        }
        let errors = answer.get_array("writeErrors").map_or(&[] as &[Bson], Vec::as_slice);
        let refused = errors.iter().filter_map(Bson::as_document).filter_map(|error| {
            let at = usize::try_from(whole(error, "index")?).ok()?;
            Some((at, Refused { code: code_of(error), message: message_of(error) }))
        });
        let matched = whole(answer, "n").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Ok(Report { matched, is_second: false, refused: refused.collect() })
    }
}

impl Refused {
    /// Any other refusal leaves it open: an earlier try may have been carried out, and a router tells a shard's lost answer in this way too.
    fn told(&self, during: Operation) -> Answer {
        Err(if errors::is_too_large(self.code) {
            StoreError::TooLarge
        } else {
            errors::unavailable(during, Applied::Unknown, self.clone())
        })
    }
}

/// Some statements matched nothing, and the server does not say which: the documents do.
async fn looked_up(database: &Database, collection: &str, report: &Report, subjects: &[Subject]) -> Vec<Answer> {
    // One is asked for by its own name, so that nobody has to look into a list to see which shard is meant.
    let which = match subjects {
        [only] => Bson::from(only.key.as_str()),
        _ => Bson::from(doc! { "$in": subjects.iter().map(|subject| subject.key.as_str()).collect::<Vec<_>>() }),
    };
    let found = async { database.collection::<RawDocumentBuf>(collection).find(doc! { "_id": which }).await?.try_collect().await };
    let documents: Vec<RawDocumentBuf> = match found.await {
        Ok(documents) => documents,
        Err(error) => {
            return subjects.iter().map(|subject| Err(errors::unavailable(subject.during, Applied::Unknown, error.clone()))).collect();
        }
    };
    let by_key: HashMap<&str, &RawDocument> =
        documents.iter().filter_map(|document| Some((document.get_str("_id").ok()?, document.as_ref()))).collect();
    let told = |(at, subject): (usize, &Subject)| match report.refused.get(&at) {
        Some(refused) => refused.told(subject.during),
        None => subject.told(by_key.get(subject.key.as_str()).copied(), report.is_second),
    };
    subjects.iter().enumerate().map(told).collect()
}

impl Subject {
    /// What its document shows.
    fn told(&self, document: Option<&RawDocument>, may_have_been_made: bool) -> Answer {
        let Some(document) = document else { return Ok(Updated::Gone) };
        match &self.proof {
            Proof::Mark(mark, _) if mark.is_some() && *mark == document::mark_of(document) => Ok(Updated::Done),
            _ if !document::lives(document, self.now) => Ok(Updated::Gone),
            Proof::Use(at) if document::used_at(document).is_some_and(|used| used >= *at) => Ok(Updated::Done),
            // Another write made this very revision, or none did: then this change was not made.
            Proof::Mark(_, revision) if may_have_been_made && document::revision_in(document).is_some_and(|is| is > *revision) => {
                Err(errors::unavailable(self.during, Applied::Unknown, WrittenOver))
            }
            _ => Ok(Updated::Stale),
        }
    }
}

fn whole(document: &Document, name: &str) -> Option<i64> {
    match document.get(name)? {
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

fn code_of(error: &Document) -> i32 {
    whole(error, "code").and_then(|code| code.try_into().ok()).unwrap_or_default()
}

fn message_of(error: &Document) -> String {
    error.get_str("errmsg").unwrap_or("no reason given").to_owned()
}
