use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::Arc;

use telegen_model::{RawRecords, Records, Resource, ResourceGroup, Scope};

/// Records of one resource, by scope, in order of first appearance.
pub(crate) struct Merged<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) scopes: Vec<(&'a Scope, Vec<&'a Records>)>,
    /// Records that bring their scopes with them: then there are no others.
    pub(crate) raw: Option<&'a RawRecords>,
}

/// Brings groups of one resource together, so that its attributes are written once. Two resources are one
/// when they are the same allocation: comparing contents would cost more than it saves.
pub(crate) fn merged<G: Borrow<ResourceGroup>>(groups: &[G]) -> Vec<Merged<'_>> {
    let mut out: Vec<Merged<'_>> = Vec::new();
    let mut known: HashMap<*const Resource, usize> = HashMap::new();
    for group in groups.iter().map(Borrow::borrow).filter(|g| g.records.items() > 0) {
        if let Records::Raw(raw) = &group.records {
            out.push(Merged { resource: &group.resource, scopes: Vec::new(), raw: Some(raw) });
            continue;
        }
        let at = *known.entry(Arc::as_ptr(&group.resource)).or_insert_with(|| {
            out.push(Merged { resource: &group.resource, scopes: Vec::new(), raw: None });
            out.len() - 1
        });
        let scopes = &mut out[at].scopes;
        match scopes.iter_mut().find(|(scope, _)| *scope == &group.scope) {
            Some((_, records)) => records.push(&group.records),
            None => scopes.push((&group.scope, vec![&group.records])),
        }
    }
    out
}
