//! What only the MongoDB store promises: it shares a collection with Node apps and harms nothing of theirs.

use crate::Bench;
use crate::mongod::Mongod;
use crate::records::{LATER, NOW, changed, created, key, loaded, record, touch};
use cloakroom::clock::Timestamp;
use cloakroom::secret::Secret;
use cloakroom::session::lifecycle::Lapse;
use cloakroom::session::record::{Data, Record};
use cloakroom::session::store::mongo::{Format, MongoSettings, MongoSetupError, MongoStore};
use cloakroom::session::store::{Found, SessionStore as _, StoreError, Tombstone, Updated, Whose};
use futures_util::TryStreamExt as _;
use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use std::sync::Arc;
use std::time::Duration;

const DAY: i64 = 86_400_000;

pub async fn text_bench() -> Bench {
    Bench { store: Box::new(Mongod::shared().store(Format::String).await.0), _directory: None }
}

pub async fn document_bench() -> Bench {
    Bench { store: Box::new(Mongod::shared().store(Format::Document).await.0), _directory: None }
}

fn date(at: Timestamp) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.0))
}

async fn stored(collection: &Collection<Document>, name: &str) -> Document {
    collection.find_one(doc! { "_id": name }).await.unwrap().unwrap()
}

#[tokio::test]
async fn top_level_fields_of_others_survive_an_update_and_a_touch() {
    let (store, collection) = Mongod::shared().store(Format::String).await;
    let (first, version) = created(&store, "k", record()).await;
    collection.update_one(doc! {}, doc! { "$set": { "theirs": { "a.b": 1_i64 }, "lastModified": date(Timestamp(5)) } }).await.unwrap();

    let touched = store.touch(&key("k"), &version, &touch(Some(LATER)), NOW).await.unwrap();
    let after_touch = stored(&collection, "k").await;
    let (_, version) = loaded(&store, "k").await;
    let updated = store.update(&key("k"), &version, Arc::new(changed(&first, "x", "1")), NOW).await.unwrap();

    let document = stored(&collection, "k").await;
    assert_eq!((touched, updated), (Updated::Done, Updated::Done));
    assert_eq!(document.get_document("theirs").unwrap(), &doc! { "a.b": 1_i64 });
    assert_eq!(after_touch.get("lastModified"), Some(&date(Timestamp(5))));
    assert_eq!(document.get("lastModified"), Some(&date(NOW)), "a full write keeps connect-mongo's touchAfter informed");
}

#[tokio::test]
async fn values_that_nobody_changes_keep_their_bson_type() {
    let (store, collection) = Mongod::shared().store(Format::Document).await;
    let theirs = doc! {
        "at": date(NOW), "id": ObjectId::new(), "long": 7_i64, "nested": { "at": date(LATER), "list": [date(NOW), 2.0], "n": 1 },
    };
    let mut session = doc! { "cookie": { "originalMaxAge": Bson::Null, "expires": Bson::Null } };
    session.extend(theirs.clone());
    collection.insert_one(doc! { "_id": "k", "expires": date(LATER), "session": session }).await.unwrap();
    let (mut record, version) = loaded(&store, "k").await;
    record.data.merge(&Data::parse(r#"{"nested":{"n":2},"new":{"big":3000000000,"half":0.5}}"#).unwrap());
    record.revision = 1;

    assert_eq!(store.update(&key("k"), &version, Arc::new(record), NOW).await.unwrap(), Updated::Done);

    let mut session = stored(&collection, "k").await.get_document("session").unwrap().clone();
    let names: Vec<String> = session.get_document("cookie").unwrap().keys().cloned().collect();
    session.remove("cookie");
    let mut expected = theirs;
    expected.get_document_mut("nested").unwrap().insert("n", 2);
    expected.insert("new", doc! { "big": 3_000_000_000.0, "half": 0.5 });
    assert_eq!(session, expected);
    assert_eq!(names, ["originalMaxAge", "partitioned", "priority", "expires", "secure", "httpOnly", "domain", "path", "sameSite"]);
}

#[tokio::test]
async fn a_document_of_a_node_app_is_read_and_taken_over() {
    for format in [Format::String, Format::Document] {
        let (store, collection) = Mongod::shared().store(format).await;
        let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"user":"ada"}"#;
        let sub = doc! { "cookie": { "originalMaxAge": 60000, "expires": date(Timestamp(1_767_225_600_000)) }, "user": "ada" };
        for (name, session) in [("text", Bson::from(text)), ("document", Bson::from(sub))] {
            collection.insert_one(doc! { "_id": name, "expires": date(LATER), "session": session }).await.unwrap();

            let (found, version) = loaded(&store, name).await;
            let next = Record { revision: 1, ..changed(&found, "x", "1") };
            let answer = store.update(&key(name), &version, Arc::new(next.clone()), NOW).await.unwrap();

            assert_eq!((found.revision, found.max_age), (0, Some(Duration::from_secs(60))));
            assert_eq!(found.cookie.expires, Some(Timestamp(1_767_225_600_000)));
            assert_eq!(found.data.to_json(), r#"{"user":"ada"}"#);
            assert_eq!((answer, loaded(&store, name).await.0), (Updated::Done, next));
        }
    }
}

#[tokio::test]
async fn a_node_apps_default_lifetime_is_not_the_sessions_own() {
    let (store, collection) = Mongod::shared().store(Format::Document).await;
    for (name, max_age, own) in [
        ("default", Bson::Double((14 * DAY) as f64), None),
        ("none", Bson::Null, None),
        ("odd", Bson::Decimal128("5".parse().unwrap()), None),
        ("own", Bson::Int64(DAY), Some(Duration::from_millis(DAY as u64))),
    ] {
        let session = doc! { "cookie": { "originalMaxAge": max_age, "expires": Bson::Null } };
        collection.insert_one(doc! { "_id": name, "expires": date(LATER), "session": session }).await.unwrap();

        assert_eq!(loaded(&store, name).await.0.max_age, own, "{name}");
    }
}

#[tokio::test]
async fn a_change_by_a_node_app_makes_the_version_stale() {
    for format in [Format::String, Format::Document] {
        let (store, collection) = Mongod::shared().store(format).await;
        let (first, version) = created(&store, "k", record()).await;
        let theirs = match format {
            Format::String => Bson::from(r#"{"cookie":{},"theirs":1}"#),
            Format::Document => Bson::from(doc! { "cookie": {}, "theirs": 1 }),
        };
        collection.update_one(doc! {}, doc! { "$set": { "session": &theirs } }).await.unwrap();

        let answer = store.update(&key("k"), &version, Arc::new(changed(&first, "ours", "1")), NOW).await.unwrap();

        assert_eq!((answer, stored(&collection, "k").await.get("session")), (Updated::Stale, Some(&theirs)));
    }
}

#[tokio::test]
async fn odd_documents_are_absent_or_unreadable_but_never_live_by_mistake() {
    let (store, collection) = Mongod::shared().store(Format::String).await;
    let text = r#"{"cookie":{},"a":1}"#;
    for (number, expires) in [Bson::Null, "2100-01-01".into(), Bson::Double(9e15), Bson::Boolean(true)].into_iter().enumerate() {
        collection.insert_one(doc! { "_id": format!("absent {number}"), "expires": expires, "session": text }).await.unwrap();
        let found = store.load(&key(&format!("absent {number}")), NOW).await.unwrap();
        assert!(matches!(found, Found::Absent), "{found:?}");
    }
    for (number, session) in [Bson::Null, "{bad".into(), "[1]".into(), Bson::Int32(1), doc! { "a": 1 }.into()].into_iter().enumerate() {
        collection.insert_one(doc! { "_id": format!("odd {number}"), "expires": date(LATER), "session": session }).await.unwrap();
    }
    collection.insert_one(doc! { "_id": "odd 5", "expires": date(LATER) }).await.unwrap();
    for number in [0, 1, 2, 3, 5] {
        let found = store.load(&key(&format!("odd {number}")), NOW).await;
        assert!(matches!(found, Err(StoreError::Unreadable { .. })), "{number} {found:?}");
    }
    let junk = doc! {
        "_id": "junk", "session": text, "userId": 5, "revision": "x", "client": [], "maxAge": "1", "moved": { "to": 1 }, "handle": Bson::Null,
    };
    collection.insert_one(junk).await.unwrap();

    let (found, version) = loaded(&store, "junk").await;
    let answer = store.update(&key("junk"), &version, Arc::new(Record { revision: 1, ..found.clone() }), NOW).await.unwrap();

    assert_eq!((found.user, found.revision, found.client, found.moved, found.expires_at), (None, 0, None, None, None));
    assert_eq!(answer, Updated::Done);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_done_when_repeated() {
    let (store, _) = Mongod::shared().store(Format::String).await;
    let ours = Arc::new(record());
    store.create(&key("k"), ours.clone()).await.unwrap();

    assert!(matches!(store.create(&key("k"), ours).await, Ok(())), "the record in the way has our own mark");
}

#[tokio::test]
async fn lone_surrogates_and_integral_numbers_become_what_bson_can_hold() {
    let (store, _) = Mongod::shared().store(Format::Document).await;
    let odd = Data::parse(r#"{"s":"a\ud83d","\udead":1.0,"$set":{"a.b":1e2},"":2}"#).unwrap();

    let (found, _) = created(&store, "k", Record { data: odd, ..record() }).await;

    assert_eq!(found.data.to_json(), "{\"s\":\"a\u{fffd}\",\"\u{fffd}\":1,\"$set\":{\"a.b\":100},\"\":2}");
}

async fn until_answered<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Err(StoreError::Unavailable { .. }) if std::time::Instant::now() < deadline => {}
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn what_mongodb_cannot_hold_is_too_large() {
    for format in [Format::String, Format::Document] {
        let (store, _) = Mongod::shared().store(format).await;
        let (first, version) = created(&store, "k", record()).await;
        let huge = Arc::new(changed(&first, "huge", &format!("\"{}\"", "x".repeat(17 << 20))));

        // On a busy machine so much data takes longer than the driver waits for its heartbeat: an outage, after which it is tried again.
        let created = until_answered(async || store.create(&key("other"), huge.clone()).await).await;
        let updated = until_answered(async || store.update(&key("k"), &version, huge.clone(), NOW).await).await;

        assert!(matches!((&created, &updated), (Err(StoreError::TooLarge), Err(StoreError::TooLarge))), "{created:?} {updated:?}");
        assert_eq!(loaded(&store, "k").await.0, first);
    }
}

async fn indexes(collection: &Collection<Document>) -> Vec<Document> {
    let database = collection.client().database(&collection.namespace().db);
    for _ in 0..500 {
        if let Ok(answer) = database.run_command(doc! { "listIndexes": collection.name() }).await {
            let batch = answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
            let batch: Vec<Document> = batch.into_iter().map(|index| index.as_document().unwrap().clone()).collect();
            if batch.iter().any(|index| index.get_str("name").is_ok_and(|name| name == "cloakroom_handle")) {
                return batch;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the indexes never came");
}

#[tokio::test]
async fn the_ttl_index_is_exactly_that_of_connect_mongo() {
    let (_store, collection) = Mongod::shared().store(Format::String).await;

    let indexes = indexes(&collection).await;

    let ttl = doc! { "v": 2, "key": { "expires": 1 }, "name": "expires_1", "background": true, "expireAfterSeconds": 0 };
    assert!(indexes.contains(&ttl), "{indexes:?}");
}

#[tokio::test]
async fn indexes_in_the_way_are_left_alone() {
    for theirs in [
        doc! { "key": { "expires": 1 }, "name": "theirs", "expireAfterSeconds": 3600.5 },
        doc! { "key": { "expires": 1 }, "name": "expires_1" },
        doc! { "key": { "other": 1 }, "name": "expires_1" },
    ] {
        let settings = Mongod::shared().settings(Format::String);
        let collection = Mongod::shared().collection(&settings).await;
        let database = collection.client().database(&settings.database);
        database.run_command(doc! { "createIndexes": collection.name(), "indexes": [&theirs] }).await.unwrap();

        let store = MongoStore::connect(settings).await.unwrap();

        let found = indexes(&collection).await;
        assert_eq!(found.len(), 4, "_id, theirs and ours by user and by handle: {found:?}");
        created(&store, "k", record()).await;
    }
}

async fn refused(uri: &str) -> Option<MongoSetupError> {
    let settings = MongoSettings { uri: Secret::new(uri), ..Mongod::shared().settings(Format::String) };
    MongoStore::connect(settings).await.err()
}

#[tokio::test]
async fn an_address_that_weakens_the_promises_is_refused() {
    for uri in ["mongodb://h/?readPreference=secondary", "mongodb://h/?readPreference=primaryPreferred"] {
        assert!(matches!(refused(uri).await, Some(MongoSetupError::ReadPreference)), "{uri}");
    }
    for uri in ["mongodb://h/?w=1", "mongodb://h/?w=0", "mongodb://h/?journal=false"] {
        assert!(matches!(refused(uri).await, Some(MongoSetupError::WriteConcern)), "{uri}");
    }
    assert!(refused("mongodb://h/?w=majority&readPreference=primary").await.is_none());
}

#[tokio::test]
async fn a_password_is_never_told() {
    let settings = MongoSettings { uri: Secret::new("mongodb://ada:s3cret@127.0.0.1:1/"), ..Mongod::shared().settings(Format::String) };
    let store = MongoStore::connect(settings).await.unwrap();

    let told = format!("{} {:?}", store.describe(), refused("mongodb://ada:s3cret@h:1/?w=x&maxPoolSize=y").await);

    assert!(told.contains("127.0.0.1:1") && told.contains("Address") && !told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn what_is_asked_by_user_or_by_handle_goes_by_an_index() {
    let settings =
        MongoSettings { database: format!("cloakroom_plans_{}", std::process::id()), ..Mongod::shared().settings(Format::String) };
    let collection = Mongod::shared().collection(&settings).await;
    let database = collection.client().database(&settings.database);
    let store = MongoStore::connect(settings).await.unwrap();
    indexes(&collection).await;
    created(&store, "k", record()).await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();

    let handle = record().handle.unwrap();
    store.list("ada", NOW).await.unwrap();
    store.page("ada", Some(&handle), 2, NOW).await.unwrap();
    store.find(&handle, NOW).await.unwrap();
    store.epoch("ada").await.unwrap();
    store.raise_epoch("ada", NOW, LATER).await.unwrap();
    store.bury(&Whose::User("ada".to_owned()), &Tombstone { why: Lapse::Revoked, until: LATER }).await.unwrap();

    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = database.collection::<Document>("system.profile");
    let ours = doc! { "ns": { "$regex": format!("{}(_epochs)?$", collection.name()) }, "planSummary": { "$exists": true } };
    let seen: Vec<Document> = profile.find(ours).await.unwrap().try_collect().await.unwrap();
    let plans: Vec<&str> = seen.iter().map(|operation| operation.get_str("planSummary").unwrap()).collect();
    assert_eq!(plans.len(), 6, "{plans:?}");
    let by_index = ["IXSCAN { userId: 1, handle: 1 }", "IXSCAN { handle: 1 }", "IDHACK", "IXSCAN { _id: 1 }"];
    assert!(plans.iter().all(|plan| by_index.contains(plan)), "{plans:?}");
}

#[tokio::test]
async fn a_tombstone_is_no_session_to_a_node_reader() {
    for (format, nothing) in [(Format::String, Bson::from("null")), (Format::Document, Bson::Null)] {
        let (store, collection) = Mongod::shared().store(format).await;
        created(&store, "one", record()).await;
        created(&store, "many", record()).await;
        collection.update_many(doc! {}, doc! { "$set": { "theirs": "secret", "lastModified": date(NOW) } }).await.unwrap();
        let (first, version) = loaded(&store, "one").await;

        store.update(&key("one"), &version, Arc::new(first.tombstone(Lapse::Replaced, LATER)), NOW).await.unwrap();
        store.bury(&Whose::User("ada".to_owned()), &Tombstone { why: Lapse::Revoked, until: LATER }).await.unwrap();

        let one = stored(&collection, "one").await;
        // With `touchAfter` connect-mongo would write the moment into the session that is none.
        assert_eq!((one.get("session"), one.get("lastModified")), (Some(&nothing), None));
        let began = date(record().created_at.unwrap());
        let left = doc! { "_id": "many", "session": &nothing, "expires": date(LATER), "createdAt": began, "ended": "revoked" };
        assert_eq!(stored(&collection, "many").await, left);
        // A slow request of a Node app that writes over it revives nothing for us.
        let theirs = doc! { "session": r#"{"cookie":{},"user":"ada"}"#, "expires": date(LATER) };
        collection.update_one(doc! { "_id": "many" }, doc! { "$set": theirs }).await.unwrap();
        let found = store.load(&key("many"), NOW).await.unwrap();
        assert!(matches!(&found, Found::Expired(left) if left.ended == Some(Lapse::Revoked) && left.data.is_empty()), "{found:?}");
    }
}
