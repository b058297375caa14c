//! `exportTo`, and the host names of Istio's kinds.

use crate::syntax;
use crate::validation::ValidationReport;

/// Checks `exportTo`: `*` (all namespaces), `.` (the object's own), `~` (none), or names of namespaces.
pub(crate) fn check_export_to(export_to: &[String], at: &str, report: &mut ValidationReport<'_>) {
    for (index, namespace) in export_to.iter().enumerate() {
        let path = format!("{at}[{index}]");
        if !matches!(namespace.as_str(), "*" | "." | "~") && !syntax::is_label(namespace) {
            let fix = "write `*`, `.`, `~` or the name of a namespace";
            report.bad(&path, &format!("cannot be `{namespace}`"), fix);
        }
        if matches!(namespace.as_str(), "*" | "~") && export_to.len() > 1 {
            let cause = format!("is `{namespace}`, which cannot stand beside others");
            report.bad(&path, &cause, "keep it alone, or name the namespaces");
        }
        if export_to[..index].contains(namespace) {
            report.bad(&path, &format!("`{namespace}` occurs twice"), "remove one of the two");
        }
    }
}

/// Whether a text is a host as Istio's kinds write it: a name, an address, `*`, or `*.` and a name; a name of one
/// label is a Service of the object's namespace.
pub(crate) fn is_istio_host(text: &str) -> bool {
    text == "*" || syntax::is_host(text, true) || text.parse::<std::net::IpAddr>().is_ok()
}
