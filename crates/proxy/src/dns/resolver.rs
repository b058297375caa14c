//! The host's resolver configuration, and which server to ask when. Follows `resolv.conf(5)`, but does not wait as long
//! for a name server that is down. No I/O.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Name servers that are used; further lines are ignored (`MAXNS` of resolv.conf(5)).
pub(super) const SERVERS_MAX: usize = 3;
/// `options timeout` without a number, and the most that it can be.
const TIMEOUT_DEFAULT_S: u64 = 5;
const TIMEOUT_MAX_S: u64 = 30;
/// `options attempts` without a number, and the most that it can be.
const ATTEMPTS_DEFAULT: u32 = 2;
const ATTEMPTS_MAX: u32 = 5;
/// After this time without an answer a name server is no longer waited for alone: the next one is asked too.
pub(super) const NEXT_SERVER_AFTER: Duration = Duration::from_millis(500);
/// Bounds on the longest wait for one query: `timeout` times `attempts` of resolv.conf(5), but not less than a
/// client that has its own idea waits, and never more than this.
const QUERY_TIME_MIN: Duration = Duration::from_secs(5);
const QUERY_TIME_MAX: Duration = Duration::from_secs(30);

/// `/etc/resolv.conf`, as far as it concerns which server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolver {
    /// In the order of the file.
    pub(super) servers: Vec<SocketAddr>,
    /// How long one server is waited for.
    pub(super) timeout: Duration,
    /// How often each is asked.
    pub(super) attempts: u32,
    /// Whether queries begin with another server each time.
    pub(super) rotate: bool,
}

/// One datagram or connection of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Counted from the start of the query. A failure brings the next step forward.
    pub(super) after: Duration,
    /// Who is asked.
    pub(super) server: SocketAddr,
}

impl Resolver {
    /// These servers, with the options' defaults.
    pub(super) fn of(servers: Vec<SocketAddr>) -> Self {
        let timeout = Duration::from_secs(TIMEOUT_DEFAULT_S);
        Self { servers, timeout, attempts: ATTEMPTS_DEFAULT, rotate: false }
    }

    /// Reads the file's text. What cannot be read is ignored, as the C library does.
    pub(super) fn parse(text: &str) -> Self {
        let mut resolver = Self::of(Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if resolver.servers.len() < SERVERS_MAX => {
                    let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(ip.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("options") => words.for_each(|word| resolver.set_option(word)),
                _ => {}
            }
        }
        resolver
    }

    fn set_option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match name {
            "rotate" => self.rotate = true,
            "timeout" => {
                if let Ok(seconds) = value.parse::<u64>() {
                    self.timeout = Duration::from_secs(seconds.clamp(1, TIMEOUT_MAX_S));
                }
            }
            "attempts" => {
                if let Ok(attempts) = value.parse::<u32>() {
                    self.attempts = attempts.clamp(1, ATTEMPTS_MAX);
                }
            }
            _ => {}
        }
    }

    /// The longest wait for one query.
    pub(super) fn query_time(&self) -> Duration {
        (self.timeout * self.attempts).clamp(QUERY_TIME_MIN, QUERY_TIME_MAX)
    }

    /// Whom to ask when. A server that `asked` names and the file does not know is the only one, once: the
    /// client chose it and repeats its query itself. Otherwise the servers of the file stand for each other:
    /// the one that was asked first (with `rotate` and none asked: the `turn`th), those that are `slow` last.
    pub(super) fn plan(
        &self,
        asked: Option<SocketAddr>,
        is_slow: impl Fn(&SocketAddr) -> bool,
        turn: usize,
    ) -> Vec<Step> {
        if let Some(server) = asked.filter(|asked| !self.servers.contains(asked)) {
            return vec![Step { after: Duration::ZERO, server }];
        }
        let mut servers = self.servers.clone();
        let first = match asked {
            Some(asked) => servers.iter().position(|server| *server == asked).unwrap_or(0),
            None if self.rotate => turn % servers.len().max(1),
            None => 0,
        };
        servers.rotate_left(first);
        servers.sort_by_key(|server| is_slow(server));
        let round = |round: u32| {
            servers.iter().zip(0u32..).map(move |(server, index)| Step {
                after: self.timeout * round + NEXT_SERVER_AFTER * index,
                server: *server,
            })
        };
        (0..self.attempts).flat_map(round).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 53))
    }

    #[test]
    fn resolv_conf_is_read_as_the_c_library_does() {
        let text = "# c\nsearch a b\nnameserver 10.0.0.1\nnameserver nonsense\n nameserver ::1 \noptions ndots:5 timeout:2 attempts:0\noptions rotate timeout:x\n";
        let expected = Resolver {
            servers: vec![server(1), "[::1]:53".parse().unwrap()],
            timeout: Duration::from_secs(2),
            attempts: 1,
            rotate: true,
        };
        assert_eq!(Resolver::parse(text), expected);
        let many: String = (1..9).map(|last| format!("nameserver 10.0.0.{last}\n")).collect();
        assert_eq!(Resolver::parse(&many), Resolver::of(vec![server(1), server(2), server(3)]));
        let bounds = Resolver::parse("options timeout:99 attempts:99");
        assert_eq!((bounds.timeout.as_secs(), bounds.attempts), (30, 5));
    }

    fn check(options: &str, asked: Option<u8>, slow: &[u8], turn: usize, expected: &[(u64, u8)]) {
        let resolver =
            Resolver::parse(&format!("nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions {options}"));
        let is_slow = |server: &SocketAddr| slow.iter().any(|last| *server == self::server(*last));
        let plan = resolver.plan(asked.map(server), is_slow, turn);
        let steps: Vec<(u64, SocketAddr)> =
            plan.iter().map(|step| (step.after.as_millis() as u64, step.server)).collect();
        let expected: Vec<(u64, SocketAddr)> =
            expected.iter().map(|(ms, last)| (*ms, server(*last))).collect();
        assert_eq!(steps, expected, "{options} {asked:?} {slow:?} {turn}");
    }

    #[test]
    fn the_server_that_was_asked_comes_first_and_the_next_one_soon() {
        check("attempts:1", None, &[], 0, &[(0, 1), (500, 2)]);
        check("attempts:1", Some(1), &[], 0, &[(0, 1), (500, 2)]);
        check("attempts:1", Some(2), &[], 0, &[(0, 2), (500, 1)]);
        check("attempts:2 timeout:3", Some(1), &[], 0, &[(0, 1), (500, 2), (3000, 1), (3500, 2)]);
    }

    #[test]
    fn a_slow_server_comes_last() {
        check("attempts:1", Some(1), &[1], 0, &[(0, 2), (500, 1)]);
        check("attempts:1", Some(1), &[1, 2], 0, &[(0, 1), (500, 2)]);
    }

    #[test]
    fn rotate_begins_elsewhere_each_time_unless_the_client_chose() {
        check("rotate attempts:1", None, &[], 0, &[(0, 1), (500, 2)]);
        check("rotate attempts:1", None, &[], 1, &[(0, 2), (500, 1)]);
        check("rotate attempts:1", Some(1), &[], 1, &[(0, 1), (500, 2)]);
        assert_eq!(Resolver::of(Vec::new()).plan(None, |_| false, 7), []);
    }

    #[test]
    fn a_server_of_the_clients_own_choice_is_the_only_one() {
        check("attempts:2", Some(9), &[1], 0, &[(0, 9)]);
    }

    #[test]
    fn the_longest_wait_has_bounds() {
        let time = |options: &str| Resolver::parse(&format!("options {options}")).query_time().as_secs();
        assert_eq!((time(""), time("timeout:1 attempts:1"), time("timeout:30 attempts:5")), (10, 5, 30));
    }
}
