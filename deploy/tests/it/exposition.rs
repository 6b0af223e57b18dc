use splitscale_deploy::Exposition;

#[test]
fn reads_labels_escapes_timestamps_and_comments() {
    let text =
        "# HELP x says {so}\nx{a=\"1\",b=\"q\\\"uo}te\"} 2.5 1700000000\nx{a=\"2\"} 4\ny 1e3\nz +Inf\n";
    let scrape = Exposition::parse(text).unwrap();
    assert_eq!(scrape.value("x", &[("b", "q\"uo}te")]), Some(2.5));
    assert_eq!(scrape.sum("x", &[]), Some(6.5));
    assert_eq!(scrape.value("y", &[]), Some(1000.0));
    assert_eq!(scrape.value("z", &[]), None, "an infinite value is no measurement");
    assert_eq!(scrape.value("x", &[("a", "3")]), None);
    assert_eq!(scrape.by_label("x", "a").collect::<Vec<_>>(), [("1", 2.5), ("2", 4.0)]);
}

#[test]
fn names_the_line_that_is_no_sample() {
    for (text, line) in [("x 1\n<html>", 2), ("x{a=\"1\" 2", 1), ("x{a=1} 2", 1), ("x one", 1), ("x", 1)] {
        let error = Exposition::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}
