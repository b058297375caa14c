//! Cuts a file into its documents without parsing them, so that a bad one hides no other.

/// One document of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawDocument<'a> {
    /// Lines of the file before the first line of `text`.
    pub(crate) lines_before: u32,
    /// Source text without `---` and `...` lines.
    pub(crate) text: &'a str,
}

/// The documents that have any content, in order. `---` at the start of a line separates documents
/// everywhere in YAML, even inside block scalars; no quoted scalar may contain it.
pub(crate) fn documents(text: &str) -> Vec<RawDocument<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut lines_before) = (0, 0);
    let (mut offset, mut line) = (0, 0);
    for content in text.split_inclusive('\n') {
        let bare = content.trim_end();
        let marker = is_marker(bare, "---") || is_marker(bare, "...");
        if marker {
            push(&mut documents, &text[start..offset], lines_before);
            // `--- {a: b}` carries content on the marker's own line.
            let after = bare[3..].trim_start();
            let inline = !after.is_empty() && !after.starts_with('#') && bare.starts_with("---");
            (start, lines_before) = if inline { (offset, line) } else { (offset + content.len(), line + 1) };
        }
        offset += content.len();
        line += 1;
    }
    push(&mut documents, &text[start..], lines_before);
    documents
}

/// What follows `key:` wherever it stands as a word of its own outside comments, in block or flow style.
pub(crate) fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let is_edge = |c: char| c.is_whitespace() || "{,\"'-".contains(c);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(move |line| {
        line.match_indices(key).filter_map(move |(at, _)| {
            let after =
                line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
            let value = after.trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')));
            let is_word = line[..at].chars().next_back().is_none_or(is_edge);
            is_word.then(|| &value[..end.unwrap_or(value.len())])
        })
    })
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn push<'a>(documents: &mut Vec<RawDocument<'a>>, text: &'a str, lines_before: u32) {
    if first_content_line(text).is_some() {
        documents.push(RawDocument { lines_before, text });
    }
}

/// 1-based line of the first line that is neither blank nor a comment nor a directive.
pub(crate) fn first_content_line(text: &str) -> Option<u32> {
    let content =
        |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && !line.starts_with('%');
    text.lines().position(content).and_then(|index| u32::try_from(index + 1).ok())
}

#[cfg(test)]
mod tests;
