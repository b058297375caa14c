//! Our ends against those of the `h2` crate: heads of all kinds, bodies and trailers both ways, over one connection.

use super::*;

/// Pseudo-random numbers, always the same ones.
struct Dice(u32);

impl Dice {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % most
    }

    /// Fields that come again, and others that do not, small and large.
    fn fields(&mut self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for _ in 0..self.below(8) {
            let name = ["x-some-name", "accept", "x-y", "cookie"][self.below(4) as usize];
            let name = if name == "cookie" { name.to_owned() } else { format!("{name}-{}", self.below(6)) };
            let len = if self.below(10) == 0 { 5_000 } else { self.below(200) };
            let value: String = (0..len).map(|_| char::from(b'!' + self.below(94) as u8)).collect();
            fields.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        fields
    }

    fn body(&mut self) -> Vec<u8> {
        let len = [0, 1, 100, 5_000, 70_000, 300_000][self.below(6) as usize];
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

fn trailers_of(fields: &HeaderMap) -> HeaderMap {
    fields.iter().map(|(name, value)| (format!("t-{name}").parse().unwrap(), value.clone())).collect()
}

/// Both our fields and those that came, without what the transport adds.
fn without_host(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(HOST);
    headers
}

fn with_all(body: Vec<u8>, trailers: HeaderMap) -> Body {
    let (frames, all) = stream();
    spawn_local(async move {
        for piece in body.chunks(20_000) {
            frames.send(Frame::data(Bytes::copy_from_slice(piece))).await.unwrap();
        }
        frames.send(Frame::trailers(trailers)).await.unwrap();
    });
    all
}

/// Answers with what it got, with the crate.
async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let fields = without_host(request.headers());
    let mut body = request.into_body();
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.unwrap();
    let mut response = Response::new(());
    *response.headers_mut() = fields;
    let mut send = respond.send_response(response, false).unwrap();
    send.send_data(all.into(), false).unwrap();
    send.send_trailers(trailers.unwrap_or_default()).unwrap();
}

#[test]
fn a_server_of_another_kind_gets_and_says_what_is_meant() {
    run(async {
        let (near, far) = duplex(1 << 14);
        spawn_local(async move {
            let mut connection = h2::server::handshake(far).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                spawn_local(answer(request, respond));
            }
        });
        let (sender, _driver) = client(near).await;
        let mut dice = Dice(7);
        for round in 0..150 {
            let (fields, body) = (dice.fields(), dice.body());
            let mut sent = request(&format!("/{round}?x"), with_all(body.clone(), trailers_of(&fields)));
            sent.headers_mut().extend(fields.clone());
            let response = sender.send(sent).await.unwrap();
            assert_eq!(response.headers(), &fields, "round {round}");
            let (back, trailers) = response.into_body().collect_with_trailers(1 << 20).await.unwrap();
            assert_eq!(back, body, "round {round}");
            assert_eq!(trailers.unwrap_or_default(), trailers_of(&fields), "round {round}");
        }
    });
}

#[test]
fn a_client_of_another_kind_gets_and_says_what_is_meant() {
    run(async {
        let (near, far) = duplex(1 << 14);
        let _ended = serving(far, std::future::pending(), |request: Request<Body>| async move {
            let fields = without_host(request.headers());
            let (body, trailers) = request.into_body().collect_with_trailers(1 << 20).await.unwrap();
            let mut response = Response::new(with_all(body.to_vec(), trailers.unwrap_or_default()));
            *response.headers_mut() = fields;
            Reply::Response(response)
        });
        let (mut sender, connection) = h2::client::handshake(near).await.unwrap();
        spawn_local(connection);
        let mut dice = Dice(9);
        for round in 0..150 {
            let (fields, body) = (dice.fields(), dice.body());
            let mut sent = Request::post(format!("http://a.b:80/{round}?x")).body(()).unwrap();
            sent.headers_mut().extend(fields.clone());
            std::future::poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
            let (response, mut send) = sender.send_request(sent, false).unwrap();
            send.send_data(body.clone().into(), false).unwrap();
            send.send_trailers(trailers_of(&fields)).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.headers(), &fields, "round {round}");
            let mut back = response.into_body();
            let mut all = Vec::new();
            while let Some(data) = back.data().await {
                let data = data.unwrap();
                back.flow_control().release_capacity(data.len()).unwrap();
                all.extend_from_slice(&data);
            }
            assert_eq!(all, body, "round {round}");
            let trailers = back.trailers().await.unwrap().unwrap_or_default();
            assert_eq!(trailers, trailers_of(&fields), "round {round}");
        }
    });
}

/// Who drives the connection is gone, and nobody says a word of it to its streams.
#[test]
fn streams_of_a_connection_that_nobody_drives_end() {
    run(async {
        let (near, far) = duplex(1 << 16);
        let ended = serving(far, std::future::pending(), |_| async {
            Reply::Response(Response::new(with_all(vec![0; 1_000_000], HeaderMap::new())))
        });
        let (sender, driver) = client(near).await;
        let response = sender.send(request("/", Body::empty())).await.unwrap();
        let waiting = spawn_local({
            let sender = sender.clone();
            async move { sender.tunnel("a:1", HeaderMap::new()).await.unwrap_err().kind }
        });
        driver.abort();
        assert!(response.into_body().collect(1 << 21).await.is_err());
        assert!(matches!(waiting.await.unwrap(), SendErrorKind::Closed | SendErrorKind::NotSent));
        assert!(sender.is_closed());
        ended.await.unwrap().unwrap();
    });
}
