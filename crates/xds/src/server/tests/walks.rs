//! Random walks: whatever is said and lost on the way, in the end the client holds what it may see.

use super::*;

const HOSTS: u64 = 4;
const SERVICES: u64 = 6;

/// Where walks go; the same seed goes the same way.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Walk {
    world: World,
    dice: Dice,
    /// Which services a host has, and what each service says.
    of_host: Vec<u64>,
    says: Vec<u64>,
    pending: Option<DeltaDiscoveryResponse>,
}

fn host(n: u64) -> String {
    format!("host/h{n}.test")
}

impl Walk {
    fn members(&self, bits: u64) -> Vec<Arc<Encoded>> {
        let chosen = (0..SERVICES).filter(|n| bits >> n & 1 == 1);
        chosen.map(|n| service(&format!("s{n}.test"), &format!("n{}", self.says[n as usize]))).collect()
    }

    fn publish(&mut self, touched: &[String]) {
        for n in 0..HOSTS {
            let members = self.members(self.of_host[n as usize]);
            self.world.members.insert(sub(&host(n)), members);
        }
        let touched: Vec<&str> = touched.iter().map(String::as_str).collect();
        let response = self.world.touch(&touched);
        self.answer(response);
    }

    fn answer(&mut self, response: Option<DeltaDiscoveryResponse>) {
        if let Some(response) = response {
            assert!(self.pending.is_none(), "two responses in flight");
            self.pending = Some(response);
        }
    }

    fn request(&mut self, request: Option<DeltaDiscoveryRequest>) {
        if let Some(request) = request {
            let response = self.world.on_server(request);
            self.answer(response);
        }
    }

    fn deliver(&mut self) {
        if let Some(response) = self.pending.take() {
            let (_, ack) = self.world.apply(response);
            self.request(Some(ack));
        }
    }

    fn reconnect(&mut self) {
        self.pending = None;
        self.world.client.on_disconnect();
        self.world.server = new_session();
        let hello = self.world.client.on_connect(ProxyNode::default());
        self.request(Some(hello));
    }

    fn step(&mut self) {
        let n = self.dice.below(HOSTS);
        match self.dice.below(9) {
            0 => {
                self.of_host[n as usize] = self.dice.below(1 << SERVICES) & self.dice.below(1 << SERVICES);
                self.publish(&[host(n)]);
            }
            1 => {
                let service = self.dice.below(SERVICES);
                self.says[service as usize] = self.dice.below(3);
                let with = (0..HOSTS).filter(|n| self.of_host[*n as usize] >> service & 1 == 1);
                let touched: Vec<String> = with.map(host).collect();
                self.publish(&touched);
            }
            2 | 3 => {
                let request = self.world.client.subscribe(&[sub(&host(n))]);
                self.request(request);
            }
            4 => {
                let request = self.world.client.unsubscribe(&[sub(&host(n))]);
                self.request(request);
            }
            5 => {
                self.world.implied = vec![sub("mesh")];
                if self.dice.below(2) == 0 {
                    self.world.implied.push(sub(&host(n)));
                }
                self.publish(&[]);
            }
            6 if self.dice.below(4) == 0 => self.reconnect(),
            _ => self.deliver(),
        }
    }

    fn check(&mut self, seed: u64) {
        while self.pending.is_some() {
            self.deliver();
        }
        let mut expected = BTreeMap::from([("names".to_owned(), Resource::Names(Names::default()))]);
        let wanted = self.world.client.wanted().chain(&self.world.implied);
        for encoded in wanted.flat_map(|subscription| Catalog::members(&self.world, subscription)) {
            expected.insert(encoded.name.to_string(), crate::wire::decode(&encoded.any).unwrap());
        }
        assert_eq!(self.world.held, expected, "seed {seed}");
        let status = self.world.server.status();
        assert!(status.synced && status.resources == expected.len(), "seed {seed}: {status:?}");
    }
}

#[test]
fn whatever_happens_the_client_ends_up_with_what_it_may_see() {
    for seed in 0..300 {
        let mut walk = Walk {
            world: World::new(&[]),
            dice: Dice(seed),
            of_host: vec![0; HOSTS as usize],
            says: vec![0; SERVICES as usize],
            pending: None,
        };
        walk.reconnect();
        for _ in 0..200 {
            walk.step();
            // Now and then all is said.
            if walk.dice.below(20) == 0 {
                walk.check(seed);
            }
        }
        walk.check(seed);
    }
}
