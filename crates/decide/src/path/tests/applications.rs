//! How applications read a path, each written down by itself and in no way by our own code.

/// A path as an application compares it: its segments as bytes.
pub(super) type Segments = Vec<Vec<u8>>;

fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let byte =
            digits.filter(|two| !two.starts_with('+')).and_then(|two| u8::from_str_radix(two, 16).ok());
        match (text[at], byte) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

fn split(text: &[u8]) -> Segments {
    text[1..].split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

fn decode_each(segments: Segments) -> Segments {
    segments.iter().map(|segment| decode(segment)).collect()
}

fn until(text: &[u8], ends: &[u8]) -> Vec<u8> {
    text.iter().copied().take_while(|byte| !ends.contains(byte)).collect()
}

fn bare(segments: Segments) -> Segments {
    segments.iter().map(|segment| until(segment, b";")).collect()
}

fn merge(segments: Segments) -> Segments {
    let ends_open = segments.last().is_some_and(Vec::is_empty);
    let mut merged: Segments = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
    if ends_open {
        merged.push(Vec::new());
    }
    merged
}

fn dots(segments: Segments) -> Segments {
    let ends_open = segments.last().is_some_and(|last| *last == b"." || *last == b"..");
    let mut resolved = Segments::new();
    for segment in segments {
        if segment == b".." {
            resolved.pop();
        } else if segment != b"." {
            resolved.push(segment);
        }
    }
    if ends_open || resolved.is_empty() {
        resolved.push(Vec::new());
    }
    resolved
}

fn backslashes(text: Vec<u8>) -> Vec<u8> {
    text.into_iter().map(|byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

fn pluses(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
}

/// A name and what it makes of a path that it gets.
pub(super) type Application = (&'static str, fn(&[u8]) -> Segments);

pub(super) const APPLICATIONS: &[Application] = &[
    ("router on raw segments", |path| decode_each(split(path))),
    ("RFC 3986, then decode", |path| decode_each(dots(split(path)))),
    ("decode segments, then dots", |path| dots(decode_each(split(path)))),
    ("decode segments twice", |path| decode_each(decode_each(split(path)))),
    ("decode first", |path| split(&decode(path))),
    ("decode, dots", |path| dots(split(&decode(path)))),
    ("decode, merge", |path| merge(split(&decode(path)))),
    ("decode, merge, dots", |path| dots(merge(split(&decode(path))))),
    ("decode, dots, merge", |path| merge(dots(split(&decode(path))))),
    ("decode, cut the query", |path| split(&until(&decode(path), b"?"))),
    ("decode, cut query and fragment, normalise", |path| dots(merge(split(&until(&decode(path), b"?#"))))),
    ("merge only", |path| decode_each(merge(split(path)))),
    ("merge, dots, decode", |path| decode_each(dots(merge(split(path))))),
    ("parameters off, decode", |path| decode_each(bare(split(path)))),
    ("parameters off, dots, decode", |path| decode_each(dots(bare(split(path))))),
    ("parameters off, decode, split, normalise", |path| {
        let bare = bare(split(path));
        let joined: Vec<u8> = bare.iter().flat_map(|segment| [b"/", segment.as_slice()].concat()).collect();
        dots(merge(split(&decode(&joined))))
    }),
    ("decode, parameters off, normalise", |path| dots(merge(bare(split(&decode(path)))))),
    ("decode segments, parameters off", |path| bare(decode_each(split(path)))),
    ("parameters of the last segment", |path| {
        let mut segments = split(path);
        if let Some(last) = segments.last_mut() {
            *last = until(last, b";");
        }
        decode_each(segments)
    }),
    ("decode twice", |path| split(&decode(&decode(path)))),
    ("decode twice, parameters off, normalise", |path| dots(merge(bare(split(&decode(&decode(path))))))),
    ("decode, split, decode", |path| decode_each(split(&decode(path)))),
    ("decode twice, backslashes, dots", |path| dots(split(&backslashes(decode(&decode(path)))))),
    ("decode thrice, normalise", |path| dots(merge(split(&decode(&decode(&decode(path))))))),
    ("plus is a space", |path| decode_each(split(&pluses(path)))),
    ("plus is a space, decode first", |path| split(&decode(&pluses(path)))),
];
