//! Recorded traces: the real files, odd ones, broken ones.

use std::io::Write;

use splitscale_sim::trace::{BandwidthTrace, Counts, Family, Stamps, TraceError, Window, Windows};
use splitscale_sim::{Arrivals, Bandwidth, Recorded, Scale, Setup, Transfer};
use splitscale_spec::{Laws, Replicas};

/// The files of a folder or a single file of the shared data, by name; none, and a line that says so, where
/// there are none.
fn shared(path: &str) -> Vec<(String, String)> {
    let root = std::env::var("SPLITSCALE_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_string());
    let path = format!("{root}/data/{path}");
    let mut files: Vec<String> = match std::fs::read_dir(&path) {
        Ok(folder) => folder.map(|entry| entry.unwrap().path().display().to_string()).collect(),
        Err(_) => vec![path.clone()],
    };
    files.sort();
    let read = |file: String| std::fs::read_to_string(&file).ok().map(|text| (file, text));
    let found: Vec<_> = files.into_iter().filter_map(read).collect();
    if found.is_empty() {
        // Past the test harness, which swallows what a passing test prints.
        let words = "is not among the shared data (SPLITSCALE_SHARED names their folder)";
        writeln!(std::io::stderr(), "skipped: {path} {words}").expect("standard error is open");
    }
    found
}

fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

#[test]
fn azure_stamps_are_exact() {
    let expected = [("code", 8819, 3_435_948_056_000), ("conv", 19366, 3_501_721_937_000)];
    for (name, arrivals, span_ns) in expected {
        for (file, text) in shared(&format!("arrivals/azure_llm_2023_{name}.csv")) {
            let stamps = Stamps::from_csv(&file, &text, Some("TIMESTAMP")).unwrap();
            assert_eq!(stamps.offsets_ns.len(), arrivals);
            assert_eq!(stamps.offsets_ns.first(), Some(&0));
            assert_eq!(stamps.offsets_ns.last(), Some(&span_ns));
            assert_eq!(stamps.notes.repeated, 0);
            assert_eq!(stamps, Stamps::from_csv(&file, &text, None).unwrap());
            println!("{name}: {}", stamps.notes);
        }
    }
}

#[test]
fn elb_counts_have_eight_gaps() {
    for (file, text) in shared("arrivals/nab_elb_request_count.csv") {
        let counts = Counts::from_csv(&file, &text).unwrap();
        assert_eq!(counts.bin_ns, 300_000_000_000);
        assert_eq!(counts.counts.len(), 4040);
        assert_eq!((counts.notes.read, counts.notes.filled), (4032, 8));
        assert_eq!(counts.notes.longest_gap_s, 600.0);
        assert_eq!(counts.counts[..3], [94, 56, 187]);
        // The row of 11:39 on the first day is the first after a gap.
        assert_eq!(counts.counts[138], 0);
        let total: u64 = counts.counts.iter().copied().map(u64::from).sum();
        assert_eq!(total, 249_327);
        println!("elb: {}", counts.notes);
    }
}

#[test]
fn servegen_windows_read_whole() {
    let (mut gamma, mut weibull, mut idle, mut largest) = (0, 0, 0, 0.0_f64);
    let files = shared("arrivals/servegen_mm_image");
    for (file, text) in &files {
        let windows = Windows::from_csv(file, text).unwrap();
        assert_eq!(windows.windows.len(), 144, "{file}");
        assert_eq!(windows.notes.span_s, 86_400.0, "{file}");
        for window in &windows.windows {
            assert_eq!(window.duration_ns, 600_000_000_000);
            assert_eq!(window.rate_per_s == 0.0, window.family == Family::Idle);
            largest = largest.max(window.cv);
            match window.family {
                Family::Gamma => gamma += 1,
                Family::Weibull => weibull += 1,
                Family::Idle => idle += 1,
                Family::Exponential => panic!("{file} has no exponential window"),
            }
        }
    }
    if !files.is_empty() {
        assert_eq!((files.len(), gamma, weibull, idle), (18, 1037, 147, 1408));
        assert_eq!(largest, 15.141_388_271_293_23);
    }
}

#[test]
fn every_bandwidth_reads() {
    let folders = [
        ("norway_3g", 8),
        ("oboe", 7),
        ("sigcomm21_4g_driving", 3),
        ("sigcomm21_4g_walking", 3),
        ("sigcomm21_5g_driving", 9),
        ("sigcomm21_5g_walking", 3),
    ];
    for (folder, expected) in folders {
        let files = shared(&format!("bandwidth/{folder}"));
        assert!(files.is_empty() || files.len() == expected, "{folder}: {} files", files.len());
        for (file, text) in files {
            let trace = BandwidthTrace::from_text(&file, &text).unwrap();
            let lines = text.lines().filter(|line| !line.trim().is_empty()).count() as u64;
            // Two walks have one second twice.
            let twice = matches!(base(&file), "4g_trace_walking_50007_c" | "4g_trace_walking_50008_a");
            assert_eq!(trace.notes.repeated, u64::from(twice), "{file}");
            assert_eq!(trace.notes.read, lines, "{file}");
            assert_eq!(trace.steps.len() as u64, lines - u64::from(twice), "{file}");
            assert!(trace.steps.windows(2).all(|pair| pair[0].0 < pair[1].0), "{file}");
            assert!(trace.steps.last().unwrap().0 < trace.period_ns, "{file}");
            println!("{}: {}", base(&file), trace.notes);
        }
    }
}

#[test]
fn line_ends_marks_and_blanks_change_nothing() {
    let plain = "t,x\n1.5,a\n1.5,b\n2.000000001,\"c\nd\"\n4,e\n";
    let offsets_ns = vec![0, 0, 500_000_001, 2_500_000_000];
    let crlf = plain.replace('\n', "\r\n");
    let blanks = format!("\u{feff}\r\n{}\r\n\r\n", crlf);
    let variants =
        [plain, &crlf, plain.trim_end(), &blanks, "1.5\n1.5\n2.000000001\n4", " 1.5 ,a\n1.5\n2.000000001\n4"];
    for text in variants {
        let stamps = Stamps::from_csv("f", text, None).unwrap();
        assert_eq!(stamps.offsets_ns, offsets_ns, "{text:?}");
        let line = "4 stamps over 2.5 s, longest gap 1.999999999 s, 1 repeated, 0 filled";
        assert_eq!(stamps.notes.to_string(), line);
    }
    let lines =
        "{\"a\": [1, {\"t\": 3}], \"t\": 1.5}\r\n{\"t\": \"1.5\"}\n\n{\"t\":2.000000001}\n{\"t\":4e0}\n\n";
    assert_eq!(Stamps::from_jsonl("f", lines, "t").unwrap().offsets_ns, offsets_ns);
    let epoch = "{\"t\": 1700000000.123456789}\n{\"t\": 1700000000.123456790}";
    assert_eq!(Stamps::from_jsonl("f", epoch, "t").unwrap().offsets_ns, [0, 1]);
    let dates = "{\"t\": \"2024-02-28T23:59:59.5Z\"}\n{\"t\": \"2024-02-29T01:00:00+01:00\"}";
    assert_eq!(Stamps::from_jsonl("f", dates, "t").unwrap().offsets_ns, [0, 500_000_000]);

    let counts = Counts::from_csv("f", "\u{feff}0,3\r\n10,0\r\n30,2.0\r\n40,1e1\r\n\r\n").unwrap();
    assert_eq!((counts.bin_ns, counts.counts), (10_000_000_000, vec![3, 0, 0, 2, 10]));
    assert_eq!((counts.notes.filled, counts.notes.span_s), (1, 50.0));

    let trace = BandwidthTrace::from_text("f", "\u{feff}5 3\r\n6.5\t0\r\n\r\n7 1.5\r\n7 2.5\r\n").unwrap();
    assert_eq!(trace.steps, [(0, 3.0), (1_500_000_000, 0.0), (2_000_000_000, 2.5)]);
    assert_eq!((trace.period_ns, trace.notes.repeated), (2_500_000_000, 1));
    let constant = BandwidthTrace::from_text("f", "17 8").unwrap();
    assert_eq!((constant.steps, constant.period_ns), (vec![(0, 8.0)], 1_000_000_000));
}

#[test]
fn windows_keep_what_means_something() {
    let text = "start,rate,cv,family\n0,2,0.5,Gamma\n600,0,nan,Weibull\n900,0.1,7,Exponential,1,1\n1000,3,12,Weibull";
    let windows = Windows::from_csv("f", text).unwrap();
    let window = |seconds: u64, rate_per_s, cv, family| Window {
        duration_ns: seconds * 1_000_000_000,
        rate_per_s,
        cv,
        family,
    };
    let expected = [
        window(600, 2.0, 0.5, Family::Gamma),
        window(300, 0.0, 1.0, Family::Idle),
        window(100, 0.1, 1.0, Family::Exponential),
        window(100, 3.0, 12.0, Family::Weibull),
    ];
    assert_eq!(windows.windows, expected);
    assert_eq!(windows.notes.to_string(), "4 windows over 1100 s, longest gap 600 s, 0 repeated, 0 filled");
}

#[track_caller]
fn refused<T: std::fmt::Debug>(table: &[(&str, &str)], read: impl Fn(&str) -> Result<T, TraceError>) {
    for (text, expected) in table {
        let message = read(text).map(|_| ()).expect_err(text).to_string();
        assert!(message.starts_with(expected), "{text:?}:\n{message}\ndoes not begin with\n{expected}");
        assert!(message.contains("; "), "{text:?}: {message} has no remedy");
    }
}

#[test]
fn broken_stamps_are_named() {
    refused(
        &[
            ("", "f:1: time stamp: the trace is empty"),
            ("\u{feff}\r\n\r\n", "f:1: time stamp: the trace is empty"),
            ("t,x\r\n", "f:1: t: the trace is empty"),
            ("t\r\n\r\n1\r\n\r\nNaN\r\n", "f:5: t: `NaN` is no time"),
            ("nan\n1", "f:1: time stamp: `nan` is no time"),
            ("t,x\n1,a\n,b\n", "f:3: t: no value in column 1"),
            ("t,x\n1,\"a\n\n\"\n0.5,b", "f:5: t: before the time of line 2; sort"),
            ("1\n2\n1.999999999\n", "f:3: time stamp: before the time of line 2; sort"),
            (
                "1\n2023-11-16 00:00:00\n",
                "f:2: time stamp: a date without an offset, but line 1 has a number",
            ),
            ("2023-11-16 00:00:00\n2023-11-16 00:00:01Z\n", "f:2: time stamp: a date with an offset, but"),
            ("2023-11-31 00:00:00", "f:1: time stamp: `2023-11-31 00:00:00` is no time"),
            ("1;2\n", "f:1: time stamp: `1;2` is no time; write seconds or YYYY-MM-DD"),
            ("0\n1e11\n", "f:2: time stamp: more than 292 years after line 1"),
            ("0\n\"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18", "f:2: time stamp: `1\n2"),
        ],
        |text| Stamps::from_csv("f", text, None),
    );
    refused(
        &[
            ("a,b\n1,2\n", "f:1: t: no such column; the file has a, b"),
            ("1,2\n", "f:1: t: the first row is no header"),
            ("", "f:1: t: the first row is no header"),
            ("a,t\n1,2\n3\n", "f:3: t: no value in column 2"),
        ],
        |text| Stamps::from_csv("f", text, Some("t")),
    );
    refused(
        &[
            ("\n", "f:1: t: the trace is empty"),
            ("{\"t\": 1}\n\n{\"t\": 1", "f:3: t: the line is no JSON object"),
            ("[1]\n", "f:1: t: the line is no JSON object"),
            ("{\"a\": 1, \"b\": 2}\n", "f:1: t: no such field; the line has a, b"),
            ("{\"t\": null}\n", "f:1: t: `null` is no time"),
            ("{\"t\": \"soon\"}\n", "f:1: t: `soon` is no time"),
            ("{\"t\": 2}\n{\"t\": 1}\n", "f:2: t: before the time of line 1; sort"),
        ],
        |text| Stamps::from_jsonl("f", text, "t"),
    );
}

#[test]
fn broken_counts_are_named() {
    refused(
        &[
            ("time,n\n", "f:1: time: the trace is empty"),
            ("0,1\n", "f:1: time stamp: one row does not say how wide"),
            ("0,1\n1,2.5\n", "f:2: count: `2.5` is no whole number"),
            ("0,1\n1,-2\n", "f:2: count: `-2` is no whole number"),
            ("0,1\n1,NaN\n", "f:2: count: `NaN` is no whole number"),
            ("0,1\n1,4294967296\n", "f:2: count: `4294967296` is no whole number"),
            ("time,n\n0,1\n1\n", "f:3: n: no value in column 2"),
            ("0,1\n1,1\n1,2\n", "f:3: time stamp: the time of line 2 again"),
            ("0,1\n1,1\n0.5,2\n", "f:3: time stamp: before the time of line 2"),
            ("0,1\n1,1\n2,1\n3.5,1\n5,1\n", "f:4: time stamp: not a whole number of bins of 1 s"),
            ("0,1\n1,1\n2,1\n1e9,1\n", "f:4: time stamp: 1000000001 bins of 1 s are too many"),
            ("0,0\n1,0\n", "f:2: count: no bin has a request"),
        ],
        |text| Counts::from_csv("f", text),
    );
}

#[test]
fn broken_windows_are_named() {
    refused(
        &[
            ("", "f:1: window start: the trace is empty"),
            ("0,1,1,Gamma,1,1\n", "f:1: window start: one row does not say how long"),
            ("0,nan,1,Gamma\n", "f:1: rate: `nan` is not a finite number"),
            ("0,-1,1,Gamma\n", "f:1: rate: `-1` is not a finite number"),
            ("0,,1,Gamma\n", "f:1: rate: no value in column 2"),
            ("0,1,inf,Gamma\n", "f:1: cv: `inf` is not a finite number"),
            ("0,1,0,Weibull\n", "f:1: cv: zero, but the window has arrivals"),
            ("0,1,1,,0,0\n", "f:1: family: `` is no family"),
            ("0,1\n", "f:1: family: `` is no family"),
            ("0,1,1,Pareto\n", "f:1: family: `Pareto` is no family"),
            ("0,1,1,Gamma\r\n0,1,1,Gamma\r\n", "f:2: window start: the time of line 1 again"),
            ("0,0,0,,0,0\n600,0,0,,0,0\n", "f:2: rate: every window is idle"),
        ],
        |text| Windows::from_csv("f", text),
    );
}

#[test]
fn rates_are_windows_of_poisson_streams() {
    let rates = Windows::from_text("f", "\u{feff}10 2\r\n\n15\t0\n17  0.5").unwrap();
    assert_eq!(rates, Windows::from_csv("f", "10,2,1,Exponential\n15,0\n17,0.5,1,Exponential\n").unwrap());
    assert_eq!(rates.windows.last().unwrap().duration_ns, 2_000_000_000);
    refused(
        &[
            ("", "f:1: time_s: the trace is empty"),
            ("0 1\n", "f:1: time_s: one row does not say how long"),
            ("0 1\n1 2 3\n", "f:2: row: 3 fields; write two"),
            ("time rate\n0 1\n", "f:1: time_s: `time` is no time"),
            ("0 1\n1 -1\n", "f:2: rate_per_s: `-1` is not a finite number"),
            ("0 1\n0 2\n", "f:2: time_s: the time of line 1 again"),
            ("1 1\n0 2\n", "f:2: time_s: before the time of line 1"),
            ("0 0\n1 0\n", "f:2: rate_per_s: every window is idle"),
        ],
        |text| Windows::from_text("f", text),
    );
}

#[test]
fn broken_bandwidths_are_named() {
    refused(
        &[
            ("", "f:1: time_s: the trace is empty"),
            (" \r\n\t\r\n", "f:1: time_s: the trace is empty"),
            ("0 1\n\n1\n", "f:3: row: 1 fields; write two"),
            ("0 1 2\n", "f:1: row: 3 fields; write two"),
            ("0,1\n", "f:1: row: 1 fields; write two"),
            ("time mbit\n0 1\n", "f:1: time_s: `time` is no time"),
            ("0 1\n2023-11-16T00:00:00 1\n", "f:2: time_s: `2023-11-16T00:00:00` is no time"),
            ("0 1\nnan 1\n", "f:2: time_s: `nan` is no time"),
            ("0 1\n1 -1\n", "f:2: mbit_s: `-1` is not a finite number"),
            ("0 1\n1 NaN\n", "f:2: mbit_s: `NaN` is not a finite number"),
            ("0 1\n1 inf\n", "f:2: mbit_s: `inf` is not a finite number"),
            ("0 1\n2 1\n1 1\n", "f:3: time_s: before the time of line 2; sort"),
            ("0 0\n1 0\n", "f:2: mbit_s: the bandwidth is zero throughout"),
        ],
        |text| BandwidthTrace::from_text("f", text),
    );
}

/// A trace that is read from so far on.
fn from<T>(file: &str, from_s: f64) -> Recorded<T> {
    Recorded { file: file.into(), from_s, data: None }
}

fn loaded(mut arrivals: Arrivals, text: &str) -> Result<Arrivals, TraceError> {
    arrivals.load(&mut |_| Ok::<_, TraceError>(text.to_string()))?;
    Ok(arrivals)
}

#[test]
fn a_trace_may_begin_later() {
    let text = "t\n10\n11.5\n14\n14\n20\n";
    let scale = Scale::default();
    let stamps =
        |from_s| loaded(Arrivals::Stamps { trace: from("s.csv", from_s), column: None, scale }, text);
    let Arrivals::Stamps { trace, .. } = stamps(3.0).unwrap() else { panic!() };
    assert_eq!(trace.data.unwrap().offsets_ns, [1_000_000_000, 1_000_000_000, 7_000_000_000]);
    let error = stamps(10.5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "s.csv:1: from_s: 10.5 s is not within the trace; take a time that it covers"
    );
    assert!(stamps(-1.0).is_err() && stamps(f64::NAN).is_err());

    let text = "t,n\n0,4\n60,5\n120,6\n";
    let counts = |from_s| loaded(Arrivals::Counts { trace: from("c.csv", from_s), scale }, text);
    let Arrivals::Counts { trace, .. } = counts(119.0).unwrap() else { panic!() };
    assert_eq!(trace.data.unwrap().counts, [5, 6]);
    assert!(counts(180.0).is_err());

    let text = "0,2.0,1.0,Exponential,,\n10,3.0,2.0,Gamma,,\n20,0.0,,,,\n";
    let windows = |from_s| loaded(Arrivals::Windows { trace: from("w.csv", from_s), scale }, text);
    let Arrivals::Windows { trace, .. } = windows(12.0).unwrap() else { panic!() };
    let seen: Vec<_> = trace.data.unwrap().windows.iter().map(|w| (w.duration_ns, w.rate_per_s)).collect();
    assert_eq!(seen, [(8_000_000_000, 3.0), (10_000_000_000, 0.0)]);
    // Only silence is left.
    assert!(windows(21.0).is_err());
}

#[test]
fn a_bandwidth_that_begins_later_goes_round_all_the_same() {
    let text = "0 1\n10 2\n30 3\n";
    let bandwidth = |from_s: f64| {
        let arrivals = Arrivals::Poisson { rate_per_s: 1.0, requests: 1 };
        let mut setup = Setup::new(Replicas { a: 1, b: 1 }, 1, &Laws::default(), arrivals);
        let bandwidth = Bandwidth::WholeTrace(from("b.txt", from_s));
        setup.link.transfer = Transfer::Bytes { bandwidth, rtt_s: 0.0 };
        setup.load(&mut |_| Ok::<_, TraceError>(text.to_string())).unwrap();
        let Transfer::Bytes { bandwidth: Bandwidth::WholeTrace(trace), .. } = setup.link.transfer else {
            panic!()
        };
        trace.data.unwrap()
    };
    let at = |trace: &BandwidthTrace, s: u64| {
        let at_ns = s * 1_000_000_000 % trace.period_ns;
        trace.steps[trace.steps.partition_point(|step| step.0 <= at_ns) - 1].1
    };
    let whole = bandwidth(0.0);
    assert_eq!(whole.period_ns, 50_000_000_000);
    for from_s in [5, 10, 29, 30, 49, 50, 123] {
        let later = bandwidth(from_s as f64);
        assert!(later.steps[0].0 == 0 && later.steps.is_sorted_by(|a, b| a.0 < b.0), "{later:?}");
        for s in 0..100 {
            assert_eq!(at(&later, s), at(&whole, s + from_s), "{from_s} s on, at {s} s");
        }
        assert!((later.mean_mbit_s() - whole.mean_mbit_s()).abs() < 1e-12);
    }
}
