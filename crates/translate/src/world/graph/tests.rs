use super::Graph;

#[test]
fn what_was_read_is_found_by_it_until_something_else_is_read() {
    let mut graph = Graph::new();
    graph.set_reads(&"reader", &["a", "b", "a"]);
    graph.set_reads(&"other", &["b"]);
    let readers = |graph: &Graph<&'static str>, name| {
        let mut readers: Vec<&str> = graph.readers(&name).copied().collect();
        readers.sort_unstable();
        readers
    };
    assert_eq!((readers(&graph, "a"), readers(&graph, "b")), (vec!["reader"], vec!["other", "reader"]));
    graph.set_reads(&"reader", &["c"]);
    assert_eq!((readers(&graph, "a"), readers(&graph, "b")), (vec![], vec!["other"]));
    assert_eq!(readers(&graph, "c"), ["reader"]);
}

#[test]
fn topics_are_told_apart_from_reads_and_changes_of_them_are_told() {
    let mut graph = Graph::new();
    graph.set_reads(&"member", &["x"]);
    assert_eq!(graph.set_topics(&"member", &["x", "y"]), ["x", "y"]);
    let mut changed = graph.set_topics(&"member", &["y", "z"]);
    changed.sort_unstable();
    assert_eq!(changed, ["x", "z"]);
    assert_eq!((graph.members(&"x").count(), graph.readers(&"x").count()), (0, 1));
    assert_eq!(graph.set_topics(&"member", &["z", "y"]), [""; 0]);
}

#[test]
fn what_was_looked_at_is_told_apart_from_what_was_read() {
    let mut graph = Graph::new();
    graph.set_reads(&"unit", &["a"]);
    graph.set_looks(&"unit", &["a", "b"]);
    let count =
        |graph: &Graph<&'static str>, name| (graph.readers(&name).count(), graph.lookers(&name).count());
    assert_eq!((count(&graph, "a"), count(&graph, "b")), ((1, 1), (0, 1)));
    graph.set_looks(&"unit", &[]);
    assert_eq!((count(&graph, "a"), count(&graph, "b")), ((1, 0), (0, 0)));
}

#[test]
fn names_that_nobody_uses_are_forgotten() {
    let mut graph = Graph::new();
    for n in 0..100 {
        graph.set_reads(&"reader".to_owned(), &[format!("a{n}"), "reader".to_owned()]);
        graph.set_topics(&format!("member {n}"), &["topic".to_owned()]);
        graph.set_topics(&format!("member {n}"), &[]);
    }
    assert_eq!((graph.numbers.by_name.len(), graph.numbers.slots.len() < 6), (2, true));
    graph.set_reads(&"reader".to_owned(), &[]);
    assert_eq!(
        (graph.numbers.by_name.len(), graph.reads.forward.len(), graph.topics.backward.len()),
        (0, 0, 0)
    );
}
