//! The documents that the papers show can be applied as they stand.

use super::*;
use model::finding::Severity;

/// Pages with documents.
const PAGES: [&str; 5] = ["addresses", "health", "mtls", "outside", "tls-gateways"];

#[test]
fn documents_in_the_papers_are_read() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for page in PAGES {
        let text = std::fs::read_to_string(docs.join(page).with_extension("md")).unwrap();
        let blocks: Vec<&str> =
            text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            let (objects, findings) = documents(block, page);
            let errors: Vec<_> = findings.iter().filter(|f| f.code.level() == Severity::Error).collect();
            assert!(!objects.is_empty() && errors.is_empty(), "{page}: {errors:?}\n{block}");
        }
    }
}
