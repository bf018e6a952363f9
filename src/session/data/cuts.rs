//! Data taken apart for packing: the members' text, and where it is to be cut to be the same data again.

use super::{Data, Field};

impl Data {
    /// The object's members (`"a":1,"b":2`), without braces.
    pub(crate) fn members(&self) -> String {
        let mut members = String::with_capacity(self.size());
        self.write_members(&mut members);
        members
    }

    /// What [`Data::from_members`] needs beside the members' text.
    pub(crate) fn cuts(&self) -> Vec<(usize, usize)> {
        self.0.iter().map(Field::cut).collect()
    }

    /// The same data again, from its members and cuts; `None` if they do not belong together.
    pub(crate) fn from_members(mut members: &str, cuts: &[(usize, usize)]) -> Option<Self> {
        let mut fields = Vec::with_capacity(cuts.len());
        for (length, colon) in cuts {
            let (text, rest) = members.split_at_checked(*length)?;
            fields.push(Field::cut_at(text, *colon)?);
            members = rest.strip_prefix(',').unwrap_or(rest);
        }
        members.is_empty().then_some(Data(fields))
    }
}
