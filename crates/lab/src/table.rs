//! How the demo shows itself: what runs where, the ways in, commands to try.

use crate::enter::ENTRANCES;
use crate::protocol::{DEFAULT_NAME, LabStatus};
use std::fmt::Write;

/// How a demo ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// With the terminal's Ctrl-C.
    Foreground,
    /// When it is told to.
    Detached,
}

/// Everything that a newcomer needs after the start.
pub(crate) fn welcome(status: &LabStatus, life: Life) -> String {
    let mut text = hosts(status);
    let flag = name_flag(status);
    let _ = writeln!(text, "\nFrom this host:");
    let entrances = ENTRANCES.iter().filter_map(|name| Some((*name, status.entrances.get(*name)?)));
    for (cluster, address) in entrances {
        let what =
            if cluster == "edge" { "API gateway of edge, calls west and east" } else { "ingress gateway" };
        let _ = writeln!(text, "  http://{address}/  {cluster}: {what}");
    }
    let entrance = status.entrances.get("edge").map_or("127.0.0.1:8080", String::as_str);
    let _ = write!(
        text,
        "
Try:
  curl http://{entrance}/
  leno demo{flag} exec west/client -- curl -s http://web-api.mesh.internal/
  leno demo{flag} scale west/purchase-history 0     (the last hop moves to east; back with 1)
  leno demo{flag} kill mgmt                         (nothing changes; back with start mgmt)
  leno demo{flag} exec west/control -- leno status
"
    );
    if let Some(time) = status.ready_after {
        let end = match life {
            Life::Foreground => "Ctrl-C ends everything.".to_owned(),
            Life::Detached => format!("End it with: leno demo{flag} stop"),
        };
        let _ = writeln!(text, "\nReady after {:.1} s. {end}", time.as_secs_f64());
    }
    text
}

/// One line per host.
pub(crate) fn hosts(status: &LabStatus) -> String {
    let rows: Vec<[String; 5]> =
        std::iter::once(["HOST", "STATE", "ADDRESSES", "PROCESSES", "WHAT"].map(str::to_owned))
            .chain(status.hosts.iter().map(|host| {
                let processes: Vec<String> =
                    host.processes.iter().map(|(name, pid)| format!("{name}({pid})")).collect();
                [
                    host.name.clone(),
                    host.state.as_str().to_owned(),
                    host.addresses.join(","),
                    if processes.is_empty() { "-".to_owned() } else { processes.join(" ") },
                    host.purpose.clone(),
                ]
            }))
            .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The flag that names a lab which does not have the usual name.
fn name_flag(status: &LabStatus) -> String {
    if status.name == DEFAULT_NAME { String::new() } else { format!(" --name {}", status.name) }
}
