//! One contract suite, run over every store; and what only one of them promises.

#[path = "stores/cached.rs"]
mod cached;
#[path = "stores/embedded.rs"]
mod embedded_only;
#[path = "stores/guard.rs"]
mod guard;
#[path = "stores/memory_taken.rs"]
mod memory_taken;
#[path = "stores/mongo_document.rs"]
mod mongo_documents;
#[path = "stores/mongo_fault.rs"]
mod mongo_faults;
#[path = "stores/mongo_group.rs"]
mod mongo_groups;
#[path = "stores/mongod.rs"]
mod mongod;
#[path = "support/records.rs"]
mod records;
#[allow(dead_code)] // the fleet's tests use the rest
#[path = "support/relay.rs"]
mod relay;
#[path = "stores/slow_answer.rs"]
mod slow_answer;
#[path = "support/store_contract.rs"]
mod store_contract;
#[allow(dead_code)] // the sessions' tests use the rest
#[path = "sessions/tap.rs"]
mod tap;

use cloakroom::clock::ManualClock;
use cloakroom::session::store::cached::CacheSettings;
use cloakroom::session::store::{CachedStore, MemoryStore, SessionStore};
use std::sync::Arc;
use std::time::Duration;

/// A store, and what must outlive it.
struct Bench {
    store: Box<dyn SessionStore>,
    _directory: Option<tempfile::TempDir>,
}

/// Each promise as a test of its own: `embedded::create_refuses_a_taken_key`.
macro_rules! keeps {
    ($open:path: $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let bench = $open().await;
            crate::store_contract::$promise(bench.store.as_ref()).await;
        }
    )*};
}

macro_rules! suite {
    ($name:ident, $open:path $(, $extra:ident)*) => {
        mod $name {
            keeps! { $open:
                create_refuses_a_taken_key
                create_refuses_the_key_of_an_expired_record
                keys_are_told_apart_by_every_character
                an_expired_record_is_never_live
                what_is_settled_is_told_as_by_a_load
                update_replaces_the_version_seen
                update_of_an_older_version_is_stale
                update_takes_absent_fields_away
                update_never_inserts
                of_many_updates_of_one_version_exactly_one_is_done
                touch_moves_forward_only
                touch_notes_the_use_and_keeps_the_rest
                touch_of_an_older_version_is_stale
                touch_never_revives
                a_record_without_end_stays_without_end
                remove_is_final_and_idempotent
                bury_ends_only_that_users
                bury_ends_those_that_began_before_or_nobody_knows_when
                a_tombstone_is_never_live_and_tells_why
                a_page_goes_on_where_the_last_one_ended
                find_is_by_handle_and_live
                an_epoch_only_grows
                an_estimate_counts_what_is_kept
                list_is_by_user_and_live
                every_field_survives_the_trip
                a_pointer_survives_the_trip
                large_and_foreign_text_survives_the_trip
                $($extra)*
            }
        }
    };
}

suite!(memory, crate::memory_bench, odd_json_survives_byte_for_byte);
suite!(embedded, crate::embedded_only::bench, odd_json_survives_byte_for_byte);
suite!(mongo_text, crate::mongo_documents::text_bench, odd_json_survives_byte_for_byte);
suite!(mongo_document, crate::mongo_documents::document_bench);
suite!(cached_memory, crate::cached_memory_bench, odd_json_survives_byte_for_byte);
suite!(cached_embedded, crate::cached_embedded_bench, odd_json_survives_byte_for_byte);
suite!(cached_mongo_text, crate::cached_mongo_text_bench, odd_json_survives_byte_for_byte);
suite!(cached_mongo_document, crate::cached_mongo_document_bench);

async fn memory_bench() -> Bench {
    Bench { store: Box::new(MemoryStore::default()), _directory: None }
}

async fn cached_memory_bench() -> Bench {
    memory_bench().await.cached()
}

async fn cached_embedded_bench() -> Bench {
    embedded_only::bench().await.cached()
}

async fn cached_mongo_text_bench() -> Bench {
    mongo_documents::text_bench().await.cached()
}

async fn cached_mongo_document_bench() -> Bench {
    mongo_documents::document_bench().await.cached()
}

impl Bench {
    /// The same store behind a cache in which nothing ages.
    fn cached(self) -> Bench {
        let settings = CacheSettings { ttl: Duration::from_secs(3600), sessions: 1000, bytes: 1 << 20 };
        Bench { store: Box::new(CachedStore::new(self.store.into(), settings, Arc::new(ManualClock::at(records::NOW)))), ..self }
    }
}
