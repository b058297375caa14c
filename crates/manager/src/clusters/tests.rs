#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::history::HISTORY_MAX;
use apiserver::{MemoryStore, Store};
use model::federation::Export;
use model::{Hostname, Locality};
use std::time::UNIX_EPOCH;

pub(crate) fn cluster(name: &str, weight: u32) -> RemoteCluster {
    RemoteCluster {
        cluster: name.into(),
        network: name.into(),
        locality: Locality::default(),
        gateways: Vec::new(),
        exports: vec![Export {
            host: Hostname::parse("a.mesh.internal").unwrap(),
            ports: Vec::new(),
            weight,
            identities: Vec::new(),
        }],
    }
}

/// Reports and stores.
fn tell(clusters: &mut Clusters, report: RemoteCluster) -> (News, Vec<Change>) {
    let weighed = clusters.weigh(report, UNIX_EPOCH).unwrap();
    let told = (weighed.news, weighed.rows.clone());
    clusters.take(weighed);
    told
}

fn names(clusters: &Clusters, own: &str) -> String {
    clusters.others(own).iter().map(|encoded| encoded.name.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_cluster_does_not_get_itself() {
    let mut clusters = Clusters::default();
    for name in ["east", "west"] {
        tell(&mut clusters, cluster(name, 1));
    }
    assert_eq!(names(&clusters, "west"), "cluster/east");
    assert_eq!(names(&clusters, "edge"), "cluster/east cluster/west");
}

#[test]
fn the_same_report_is_no_news() {
    let mut clusters = Clusters::default();
    assert_eq!(tell(&mut clusters, cluster("west", 1)).0, News::Changed);
    clusters.connect("west");
    assert_eq!(tell(&mut clusters, cluster("west", 1)), (News::Same, Vec::new()));
    assert_eq!(tell(&mut clusters, cluster("west", 0)).0, News::Changed);
    assert_eq!(clusters.all().map(|known| known.links).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_could_not_be_stored_is_news_again() {
    let mut clusters = Clusters::default();
    for weight in [1, 2] {
        for _ in 0..2 {
            let unstored = clusters.weigh(cluster("west", weight), UNIX_EPOCH).unwrap();
            assert_eq!((unstored.news, unstored.rows.is_empty()), (News::Changed, false));
        }
        tell(&mut clusters, cluster("west", weight));
    }
    assert_eq!(clusters.all().next().unwrap().revision, 2);
}

#[test]
fn reports_and_a_bounded_history_survive_a_restart() {
    let (store, mut clusters) = (MemoryStore::new(), Clusters::default());
    let last = HISTORY_MAX as u32 + 5;
    for weight in 0..=last {
        let (_, rows) = tell(&mut clusters, cluster("west", weight));
        store.commit(&rows).unwrap();
    }
    let rows = |table| store.rows(table).unwrap();
    let after = Clusters::load(&rows(Table::Remote), &rows(Table::History), UNIX_EPOCH);
    let known = after.all().next().unwrap();
    assert_eq!((known.revision, known.report.exports[0].weight), (u64::from(last) + 1, last));
    assert_eq!(known.history.len(), HISTORY_MAX);
    assert_eq!(known.history.last().unwrap().0, u64::from(last));
    assert_eq!(known.history, clusters.all().next().unwrap().history);
    assert_eq!(after.others("east")[0].version, clusters.others("east")[0].version);
}

#[test]
fn names_are_checked() {
    let clusters = Clusters::default();
    for name in ["", "a/b", "a b", &"a".repeat(NAME_BYTES_MAX + 1)] {
        assert_eq!(clusters.weigh(cluster(name, 1), UNIX_EPOCH).unwrap_err(), Unfit::Name);
    }
}
