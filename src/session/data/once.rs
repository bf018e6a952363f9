//! Fields put together, each name once: as in `JSON.parse`, the last value wins and keeps the first one's place.

use super::{Data, Field};
use std::collections::HashMap;

/// So few fields are sooner compared than hashed.
const FEW: usize = 16;

impl FromIterator<Field> for Data {
    /// In time that grows with their number, not with its square: whoever writes a session decides how many there are.
    fn from_iter<Fields: IntoIterator<Item = Field>>(fields: Fields) -> Self {
        let fields: Vec<Field> = fields.into_iter().collect();
        let mut data = Data(Vec::with_capacity(fields.len()));
        if fields.len() <= FEW {
            fields.into_iter().for_each(|field| data.put(field));
            return data;
        }
        let firsts = firsts(&fields);
        // Where in the data each of the fields is that were the first of their names.
        let mut places = Vec::with_capacity(fields.len());
        for (at, (field, first)) in fields.into_iter().zip(firsts).enumerate() {
            places.push(data.0.len());
            if first == at {
                data.0.push(field);
            } else if let Some(old) = places.get(first).and_then(|place| data.0.get_mut(*place)) {
                old.set(field.json());
            }
        }
        data
    }
}

/// For each of the fields, the first one of the same name.
fn firsts(fields: &[Field]) -> Vec<usize> {
    let mut seen = HashMap::with_capacity(fields.len());
    fields.iter().enumerate().map(|(at, field)| *seen.entry(field.identity()).or_insert(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    proptest! {
        #[test]
        fn many_fields_are_put_together_as_they_would_be_one_by_one(
            fields in prop::collection::vec((prop_oneof!["\"[ab]{1,3}\"", Just(r#""\u0061""#.to_owned()), "\"\\\\ud83[d-f]\""], 0..9), 0..60)
        ) {
            let members: Vec<String> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            let mut one_by_one = Data::default();
            for member in &members {
                one_by_one.put(Data::parse(&format!("{{{member}}}")).unwrap().0.remove(0));
            }

            prop_assert_eq!(Data::parse(&format!("{{{}}}", members.join(","))).unwrap(), one_by_one);
        }
    }

    /// One by one it takes the better part of an hour.
    #[test]
    fn a_session_of_very_many_fields_is_read_in_no_time() {
        let members: Vec<String> = (0..300_000).map(|n| format!("\"{n:05x}\":1")).collect();
        let text = format!("{{{}}}", members.join(","));
        let began = Instant::now();

        assert_eq!(Data::parse(&text).unwrap().to_json(), text);

        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
