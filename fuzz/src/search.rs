//! Tries case after case, and keeps what no class explains.

use crate::asked::{self, InProcess, OtherProxies};
use crate::case::Case;
use crate::chance::Chance;
use crate::classes::{Difference, Other, explain};
use crate::compare::{Detail, Kind, in_order, in_streams};
use crate::understanding::Understanding;
use crate::{frames, requests, responses};
use std::collections::BTreeMap;

/// Unexplained differences that are told; of more, only how many there are.
const TOLD_MAX: usize = 200;
/// Of those that look alike.
const ALIKE_MAX: usize = 3;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    Requests,
    Responses,
    Http2Requests,
    Http2Responses,
}

/// One of them for each number, requests of HTTP/1 most often.
const FAMILIES: [Family; 8] = [
    Family::Requests,
    Family::Requests,
    Family::Responses,
    Family::Requests,
    Family::Http2Requests,
    Family::Requests,
    Family::Responses,
    Family::Http2Responses,
];

/// A difference that no class explains.
pub(crate) struct Unexplained {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    pub(crate) other: Other,
    pub(crate) kind: Kind,
    pub(crate) case: Case,
    pub(crate) ours: Understanding,
    pub(crate) theirs: Understanding,
}

/// Tries cases and counts what comes of them.
pub(crate) struct Search {
    process: InProcess,
    /// nginx and HAProxy, where they are asked.
    processes: Option<OtherProxies>,
    /// How often each class was met.
    pub(crate) explained: BTreeMap<&'static str, u64>,
    pub(crate) unexplained: Vec<Unexplained>,
    /// Also those of which enough was told.
    pub(crate) unexplained_count: u64,
    pub(crate) cases: u64,
    /// Messages that codec took whole.
    pub(crate) messages: u64,
    /// Differences that were not there again.
    pub(crate) moods: u64,
}

impl Search {
    pub(crate) fn new(processes: Option<OtherProxies>) -> anyhow::Result<Self> {
        Ok(Search {
            process: InProcess::new()?,
            processes,
            explained: BTreeMap::new(),
            unexplained: Vec::new(),
            unexplained_count: 0,
            cases: 0,
            messages: 0,
            moods: 0,
        })
    }

    /// Tries the case of this number, if it is of one of these families.
    pub(crate) fn attempt(&mut self, seed: u64, only: Option<Family>) -> anyhow::Result<()> {
        let family = FAMILIES[(seed % FAMILIES.len() as u64) as usize];
        if only.is_some_and(|only| only != family) {
            return Ok(());
        }
        let mut dice = Chance::new(seed);
        let case = match family {
            Family::Requests => requests::random(&mut dice),
            Family::Responses => responses::random(&mut dice),
            Family::Http2Requests => frames::of_client(&mut dice),
            Family::Http2Responses => frames::of_server(&mut dice),
        };
        self.cases += 1;
        let (ours, others) = self.read(family, &case)?;
        self.messages += ours.taken.iter().filter(|message| message.is_whole).count() as u64;
        for (other, theirs) in others {
            for kind in differ(other, &ours, &theirs) {
                let found = Difference { case: &case, other, kind, ours: &ours, theirs: &theirs };
                match explain(&found) {
                    Some(class) => *self.explained.entry(class.name).or_default() += 1,
                    None if self.is_repeated(family, other, kind, &case)? => {
                        self.note(seed, family, other, kind, case.clone())?;
                    }
                    // Processes have their moods, as when a client goes away just then.
                    None => self.moods += 1,
                }
            }
        }
        Ok(())
    }

    /// Whether a difference is there again.
    fn is_repeated(&self, family: Family, other: Other, kind: Kind, case: &Case) -> anyhow::Result<bool> {
        let (ours, others) = self.read(family, case)?;
        let theirs = others.iter().find(|(asked, _)| *asked == other);
        Ok(theirs.is_some_and(|(_, theirs)| differ(other, &ours, theirs).contains(&kind)))
    }

    /// What codec makes of `case`, and what the others do.
    fn read(
        &self,
        family: Family,
        case: &Case,
    ) -> anyhow::Result<(Understanding, Vec<(Other, Understanding)>)> {
        let process = &self.process;
        Ok(match family {
            Family::Requests => {
                let ours = asked::codec_server(process, case);
                let mut others = vec![(Other::HyperServer, asked::hyper_server(process, case))];
                if let Some(processes) = &self.processes {
                    let [nginx, haproxy] = processes.read(case, ours.taken.len())?;
                    others.extend([(Other::Nginx, nginx), (Other::HaProxy, haproxy)]);
                }
                (ours, others)
            }
            Family::Responses => {
                let others = vec![(Other::HyperClient, asked::hyper_client(process, case))];
                (asked::codec_client(process, case), others)
            }
            Family::Http2Requests => {
                let others = vec![(Other::H2Server, asked::h2_server(process, case))];
                (asked::codec_http2_server(process, case), others)
            }
            Family::Http2Responses => {
                let others = vec![(Other::H2Client, asked::h2_client(process, case))];
                (asked::codec_http2_client(process, case), others)
            }
        })
    }

    /// Keeps a difference, as short as it gets.
    fn note(
        &mut self,
        seed: u64,
        family: Family,
        other: Other,
        kind: Kind,
        case: Case,
    ) -> anyhow::Result<()> {
        self.unexplained_count += 1;
        if self.unexplained.len() >= TOLD_MAX {
            return Ok(());
        }
        let (unshrunk, _) = self.read(family, &case)?;
        let is_alike = |case: &Case| {
            let Ok((ours, others)) = self.read(family, case) else { return false };
            // Refused for another reason it would be another difference.
            if ours.verdict() != unshrunk.verdict() {
                return false;
            }
            others.iter().filter(|(asked, _)| *asked == other).any(|(_, theirs)| {
                differ(other, &ours, theirs).contains(&kind)
                    && explain(&Difference { case, other, kind, ours: &ours, theirs }).is_none()
            })
        };
        let case = case.shrunk(is_alike);
        let (ours, others) = self.read(family, &case)?;
        let theirs = others.into_iter().find(|(asked, _)| *asked == other).map(|(_, theirs)| theirs);
        let theirs = theirs.unwrap_or_default();
        let is_known = |known: &Unexplained| {
            known.other == other && known.kind == kind && known.ours.verdict() == ours.verdict()
        };
        if self.unexplained.iter().filter(|known| is_known(known)).count() < ALIKE_MAX {
            self.unexplained.push(Unexplained { seed, family, other, kind, case, ours, theirs });
        }
        Ok(())
    }
}

/// How two readings of the same case differ.
fn differ(other: Other, ours: &Understanding, theirs: &Understanding) -> Vec<Kind> {
    let first = |detail| in_order(ours, theirs, detail).into_iter().take(1).collect();
    match other {
        _ if ours.end.starts_with(asked::PANICS) || ours.end == asked::HANGS => vec![Kind::Failure],
        Other::H2Server => in_streams(ours, theirs),
        Other::H2Client => in_order(ours, theirs, Detail::Exact),
        Other::Nginx => first(Detail::HostName),
        Other::HyperServer | Other::HyperClient | Other::HaProxy => first(Detail::Exact),
    }
}
