#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::join::{JoinError, Token, own_addresses};
use super::last_good::{LastGood, LoadError, Saved};
use crate::options::Options;
use crate::testing::{host, me, service, slice};
use clap::Parser;
use model::authz::{Action, Policy};
use model::{Resource, ResourceKey, Subscription};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use xds::client::{REFUSED_VERSION, deny_all};

/// A directory of its own, gone at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leno-last-good-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("last-good")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn saved() -> Saved {
    let resources = [service("a.mesh"), slice("a.mesh", 0, &["a1", "a2"])];
    Saved {
        wanted: vec![Subscription::Host(host("a.mesh")), Subscription::Address("240.1.2.3".parse().unwrap())],
        resources: resources.into_iter().map(|(key, resource)| (key, "v1".into(), resource)).collect(),
    }
}

#[test]
fn what_is_saved_is_loaded() {
    let directory = Directory::new("round-trip");
    let last_good = LastGood::new(&directory.0, &me());
    assert_eq!(last_good.load().unwrap(), None);
    last_good.save(&saved()).unwrap();
    last_good.save(&saved()).unwrap();
    assert_eq!(last_good.load().unwrap(), Some(saved()));
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    let mode = fs::metadata(directory.file()).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_noticed() {
    let directory = Directory::new("damage");
    let last_good = LastGood::new(&directory.0, &me());
    last_good.save(&saved()).unwrap();
    let good = fs::read(directory.file()).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(directory.file(), &bad).unwrap();
        assert!(last_good.load().is_err(), "byte {at}");
    }
    for length in (0..good.len()).step_by(7) {
        fs::write(directory.file(), &good[..length]).unwrap();
        assert!(last_good.load().is_err(), "{length} bytes");
    }
}

#[test]
fn a_file_of_another_group_is_not_used() {
    let directory = Directory::new("owner");
    LastGood::new(&directory.0, &me()).save(&saved()).unwrap();
    let other = crate::snapshot::LocalNode { group: "other".into(), ..me() };
    let error = LastGood::new(&directory.0, &other).load().unwrap_err();
    assert!(matches!(error, LoadError::Owner(owner) if owner == "west/default/client"));
}

#[test]
fn a_token_is_checked_in_every_part() {
    let root = "ab".repeat(32);
    let good = format!("lj1.0123456789abcdef.0123456789abcdef0123456789abcdef.{root}");
    assert_eq!(Token::parse(&good).unwrap().pin(), [0xab; 32]);
    for bad in [
        String::new(),
        good.replace("lj1", "lj2"),
        good.replace("ab", "zz"),
        good[..good.len() - 1].to_owned(),
        format!("{good}.x"),
        format!("{good}0"),
        good.replacen("0123", "012", 1),
    ] {
        assert!(Token::parse(&bad).is_none(), "{bad}");
    }
}

#[test]
fn a_kept_policy_that_cannot_be_read_denies_everything() {
    for name in ["policy/ns/kept", "gateway-policy/ns/edge/ns/kept"] {
        check_kept_policy(name);
    }
}

fn check_kept_policy(name: &str) {
    let directory = Directory::new("policy");
    let last_good = LastGood::new(&directory.0, &me());
    let (key, policy) = (ResourceKey::parse(name).unwrap(), deny_all("ns", "kept"));
    let resource = Resource::Policy(Policy { action: Action::Allow, ..policy.clone() });
    let value = xds::wire::encode(&key, &resource).any.value().clone();
    let kept = Saved { wanted: Vec::new(), resources: vec![(key.clone(), "v1".into(), resource)] };
    last_good.save(&kept).unwrap();
    assert_eq!(last_good.load().unwrap(), Some(kept));
    // The same file as a later version might have written it.
    let mut bytes = fs::read(directory.file()).unwrap();
    let at = bytes.windows(value.len()).position(|window| *window == value[..]).unwrap();
    bytes[at..at + value.len()].fill(0xff);
    let body = bytes.len() - 32;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes[..body]);
    bytes[body..].copy_from_slice(digest.as_ref());
    fs::write(directory.file(), &bytes).unwrap();
    let loaded = last_good.load().unwrap().unwrap();
    assert_eq!(loaded.resources, [(key, REFUSED_VERSION.into(), Resource::Policy(policy))]);
}

#[test]
fn what_may_pass_while_a_host_boots_is_tried_again() {
    use std::io::{Error, ErrorKind};
    let refused = |code| JoinError::Refused(xds::Status::new(code, ""));
    for passing in [
        JoinError::Resolve("control:15012".into(), Error::other("temporary failure in name resolution")),
        JoinError::Address(ErrorKind::NetworkUnreachable.into()),
        refused(xds::Code::Unavailable),
        refused(xds::Code::ResourceExhausted),
    ] {
        assert!(passing.may_pass(), "{passing:?}");
    }
    for lasting in [
        JoinError::Resolve("control".into(), ErrorKind::InvalidInput.into()),
        JoinError::Form,
        refused(xds::Code::PermissionDenied),
        refused(xds::Code::Unauthenticated),
    ] {
        assert!(!lasting.may_pass(), "{lasting:?}");
    }
}

#[test]
fn a_host_has_an_address_of_each_family_that_its_control_plane_is_called_by() {
    let own = |control: &[&str]| {
        let control: Vec<SocketAddr> = control.iter().map(|address| address.parse().unwrap()).collect();
        own_addresses(&control).map(|own| own.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(own(&["127.0.0.1:15012"]).unwrap(), ["127.0.0.1"]);
    assert_eq!(own(&["[::1]:15012"]).unwrap(), ["::1"]);
    assert_eq!(own(&["[::1]:15012", "127.0.0.1:15012", "127.0.0.2:15012"]).unwrap(), ["127.0.0.1", "::1"]);
    // No packet gets there; the other family counts all the same.
    assert!(own(&["255.255.255.255:15012"]).is_err());
    assert_eq!(own(&["255.255.255.255:15012", "[::1]:15012"]).unwrap(), ["::1"]);
}

#[test]
fn an_address_that_nobody_else_can_call_is_refused() {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }
    let parse = |given: &[&str]| {
        let line = ["proxy"].iter().chain(given);
        Line::try_parse_from(line).map(|line| line.options.addresses).map_err(|error| error.to_string())
    };
    let both = parse(&["--address=fd00::12", "--address=::ffff:10.0.0.12"]).unwrap();
    assert_eq!(both, ["fd00::12".parse::<IpAddr>().unwrap(), "10.0.0.12".parse().unwrap()]);
    for wrong in ["0.0.0.0", "::", "fe80::1", "ff02::1", "224.0.0.1"] {
        let told = parse(&[&format!("--address={wrong}")]).unwrap_err();
        assert!(told.contains(&format!("`{wrong}` is not an address that other hosts can call")), "{told}");
    }
    assert!(parse(&["--address=web"]).unwrap_err().contains("`web` is not an IP address"));
}
