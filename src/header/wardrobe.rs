//! What was written of the sessions in use, kept for their next request: it depends on the record and the route alone.
//!
//! **Nobody is told another session, nor an older version of this one.** A record in an [`Arc`] is never changed: every change makes a new
//! one. What is kept here belongs to one such record, by its place in memory, and a weak pointer to it is kept too, so that the place is
//! nobody else's meanwhile, and `Arc::get_mut` and its like give nobody a way to change the record there. Who asks comes with the record
//! that was just found, so an ended session's headers are asked for by nobody; they go when others need the room.

use super::request::{Dresser, Outfit, TooLarge, View};
use crate::route::Route;
use crate::session::record::Record;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::{Arc, Weak};

/// For some thousands of sessions.
const BYTES: u64 = 8 << 20;

/// What an ordinary session's headers take.
const ORDINARY: u64 = 1024;

/// Headers of sessions, ready to be set.
pub struct Wardrobe(Cache<(usize, usize), Arc<Kept>, Weight>);

struct Kept {
    record: Weak<Record>,
    route: Weak<Route>,
    outfit: Arc<Outfit>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(usize, usize), Arc<Kept>> for Weight {
    fn weight(&self, _: &(usize, usize), kept: &Arc<Kept>) -> u64 {
        (size_of::<Record>() + kept.outfit.weight()) as u64
    }
}

impl Default for Wardrobe {
    fn default() -> Self {
        Wardrobe(Cache::with_weighter((BYTES / ORDINARY) as usize, BYTES, Weight))
    }
}

impl Wardrobe {
    /// The headers of this session on this route.
    pub fn outfit(&self, record: &Arc<Record>, route: &Arc<Route>, handle: &str, user: Option<&str>) -> Result<Arc<Outfit>, TooLarge> {
        let key = (Arc::as_ptr(record).addr(), Arc::as_ptr(route).addr());
        if let Some(kept) = self.0.get(&key)
            && kept.belongs_to(record, route)
            && kept.outfit.handle() == handle
            && kept.outfit.user() == user
        {
            return Ok(kept.outfit.clone());
        }
        let outfit = Arc::new(Dresser::new(&route.headers).dress(&View { handle, user, data: &record.data })?);
        // What was left out is in the same piece of memory as the rest.
        if outfit.is_whole {
            let (record, route) = (Arc::downgrade(record), Arc::downgrade(route));
            self.0.insert(key, Arc::new(Kept { record, route, outfit: outfit.clone() }));
        }
        Ok(outfit)
    }
}

impl Kept {
    fn belongs_to(&self, record: &Arc<Record>, route: &Arc<Route>) -> bool {
        std::ptr::eq(self.record.as_ptr(), Arc::as_ptr(record)) && std::ptr::eq(self.route.as_ptr(), Arc::as_ptr(route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::request::Dressed;
    use crate::route::HeaderSettings;
    use crate::route::tests::route;
    use crate::session::record::Data;

    fn record(data: &str) -> Arc<Record> {
        Arc::new(Record { data: Data::parse(data).unwrap(), ..Record::default() })
    }

    fn told(outfit: &Arc<Outfit>) -> String {
        Dressed::new(outfit.clone(), None).headers().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect()
    }

    fn any() -> Arc<Route> {
        route("", "/*", &[])
    }

    #[test]
    fn a_session_that_stays_as_it_is_is_written_once() {
        let (wardrobe, record, route) = (Wardrobe::default(), record(r#"{"a":1}"#), any());
        let outfit = || wardrobe.outfit(&record, &route, "h", Some("ada")).unwrap();

        assert!(Arc::ptr_eq(&outfit(), &outfit()));
    }

    #[test]
    fn a_record_in_the_place_of_one_that_is_gone_is_told_as_it_is() {
        let (wardrobe, route) = (Wardrobe::default(), any());

        for number in 0..1000 {
            let told = told(&wardrobe.outfit(&record(&format!(r#"{{"a":{number}}}"#)), &route, "h", None).unwrap());
            assert!(told.ends_with(&format!("x-session-a: {number}\n")), "{told}");
        }
    }

    #[test]
    fn nobody_can_change_a_record_in_its_place() {
        let (wardrobe, mut record, route) = (Wardrobe::default(), record(r#"{"a":1}"#), any());
        wardrobe.outfit(&record, &route, "h", None).unwrap();

        assert!(Arc::get_mut(&mut record).is_none());
        Arc::make_mut(&mut record).data = Data::parse(r#"{"a":2}"#).unwrap();

        assert!(told(&wardrobe.outfit(&record, &route, "h", None).unwrap()).ends_with("x-session-a: 2\n"));
    }

    #[test]
    fn another_route_handle_or_user_has_an_outfit_of_its_own() {
        let (wardrobe, record) = (Wardrobe::default(), record(r#"{"a":"\u00e9"}"#));
        let raw = HeaderSettings { encoding: crate::route::Encoding::Base64Url, ..any().headers.clone() };
        let routes = [any(), Arc::new(Route { headers: raw, ..Route::clone(&any()) })];
        let told = |route: &Arc<Route>, handle, user| told(&wardrobe.outfit(&record, route, handle, user).unwrap());

        for _ in 0..2 {
            assert!(told(&routes[0], "h", None).ends_with("x-session-a: %C3%A9\n"));
            assert!(told(&routes[1], "h", None).ends_with("x-session-a: w6k\n"));
            assert!(told(&routes[0], "g", None).starts_with("x-session-handle: g\n"));
            assert!(told(&routes[0], "h", Some("ada")).contains("x-session-user: ada\n"));
            assert!(!told(&routes[0], "h", None).contains("x-session-user"));
        }
    }
}
