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

impl Data {
    /// Where each field of a patch is here, by name.
    pub(super) fn places_of(&self, patch: &Data) -> Vec<Option<usize>> {
        if patch.0.len() <= FEW {
            return patch.0.iter().map(|change| self.0.iter().position(|field| field.is_called_as(change))).collect();
        }
        let places: HashMap<_, _> = self.0.iter().enumerate().map(|(at, field)| (field.identity(), at)).collect();
        patch.0.iter().map(|change| places.get(&change.identity()).copied()).collect()
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

    #[test]
    fn a_patch_of_many_fields_changes_and_removes_what_one_of_few_does() {
        let members = |value: &dyn Fn(usize) -> String| {
            let members: Vec<String> = (0..FEW * 3).map(|n| format!("\"{n}\":{}", value(n))).collect();
            members
        };
        let whole = |members: &[String]| Data::parse(&format!("{{{}}}", members.join(","))).unwrap();
        let target = members(&|n| n.to_string());
        let patch = members(&|n| if n % 2 == 0 { "null".to_owned() } else { format!("[{n}]") });
        let (mut at_once, mut one_by_one) = (whole(&target[..FEW * 2]), whole(&target[..FEW * 2]));

        at_once.merge(&whole(&patch));
        patch.iter().for_each(|member| one_by_one.merge(&whole(std::slice::from_ref(member))));

        assert_eq!(at_once, one_by_one);
        assert_eq!((at_once.json_of("0"), at_once.json_of("1"), at_once.0.len()), (None, Some("[1]"), FEW * 3 / 2));
    }

    /// One by one it takes the better part of an hour.
    #[test]
    fn a_session_of_very_many_fields_is_read_and_patched_in_no_time() {
        let members: Vec<String> = (0..300_000).map(|n| format!("\"{n:05x}\":1")).collect();
        let text = format!("{{{}}}", members.join(","));
        let began = Instant::now();

        let mut data = Data::parse(&text).unwrap();
        data.merge(&data.clone());
        assert_eq!(data.to_json(), text);

        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
