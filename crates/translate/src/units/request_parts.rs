//! What rules of an `HTTPRoute` and of a `GRPCRoute` have in common: conditions on headers, edits of headers, copies.

use super::missing::RouteFindings;
use super::{WorldReader, backend_ref};
use api::Object;
use api::fields::header_edits::{HttpHeader, HttpHeaderFilter};
use api::fields::mirror::{HttpFraction, HttpRequestMirrorFilter};
use api::fields::value_match::{HttpValueMatch, ValueMatchType};
use model::filter::{Fraction, HeaderEdit, Mirror};
use model::route::{Pattern, StringMatch, ValueMatch};
use std::sync::Arc;

/// Conditions on headers.
pub(super) fn header_conditions(list: &[HttpValueMatch]) -> Vec<ValueMatch> {
    conditions(list, |name| name.to_ascii_lowercase().into())
}

/// Conditions on values whose names are kept so.
pub(super) fn conditions(list: &[HttpValueMatch], name: fn(&str) -> Arc<str>) -> Vec<ValueMatch> {
    let value = |one: &HttpValueMatch| match one.match_type.unwrap_or(ValueMatchType::Exact) {
        ValueMatchType::Exact => StringMatch::Exact(one.value.as_str().into()),
        ValueMatchType::RegularExpression => StringMatch::Regex(Pattern(one.value.as_str().into())),
    };
    list.iter().map(|one| ValueMatch { name: name(&one.name), value: value(one) }).collect()
}

/// As the proxy carries it out.
pub(super) fn header_edit(edit: &HttpHeaderFilter) -> HeaderEdit {
    let lower = |name: &str| Arc::<str>::from(name.to_ascii_lowercase());
    let pairs = |headers: &[HttpHeader]| {
        headers.iter().map(|header| (lower(&header.name), header.value.as_str().into())).collect()
    };
    HeaderEdit {
        set: pairs(&edit.set),
        add: pairs(&edit.add),
        remove: edit.remove.iter().map(|name| lower(name)).collect(),
    }
}

/// `None`: its backend cannot be used, which is told, and no copies are made (Gateway API).
pub(super) fn mirror(
    copies: &HttpRequestMirrorFilter,
    route: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Option<Mirror> {
    let backend = backend_ref::compile(&copies.backend_ref.target(), route, read, findings);
    let share = match (copies.percent, &copies.fraction) {
        (Some(numerator), _) => Fraction { numerator, denominator: 100 },
        (None, Some(fraction)) => Fraction {
            numerator: fraction.numerator,
            denominator: fraction.denominator.unwrap_or(HttpFraction::DENOMINATOR_DEFAULT),
        },
        (None, None) => Fraction::ALL,
    };
    Some(Mirror { host: backend.host?, port: backend.port, share, host_suffix: "".into() })
}
