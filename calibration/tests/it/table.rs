//! Layouts, and bad cells named by file, line and field.

use splitscale_calibration::{
    BadRows, CalibrationError, Table, TimeRow, one_measurement, read_bursts, read_records, read_times,
    times_of,
};
use splitscale_spec::{RequestRecord, Status};

use crate::record;

const BURSTS: &str = "inference_time_a,inference_time_b,total_time,end_time,NUM_POD_A,NUM_POD_B,BANDWIDTH";

fn time(slots: Option<u32>, pods: u32, y_s: f64) -> TimeRow {
    TimeRow { slots, pods, y_s }
}

fn refusal(text: &str) -> String {
    read_times("t.csv", text, BadRows::Refuse).unwrap_err().to_string()
}

#[test]
fn every_layout_of_times_is_read() {
    let read = |text: &str| read_times("t.csv", text, BadRows::Refuse).unwrap().rows;
    assert_eq!(read("pods,y\n2,5\n3,4.5\n"), [time(None, 2, 5.0), time(None, 3, 4.5)]);
    assert_eq!(read("bandwidth,pods,y_seconds\n1,2,5\n"), [time(Some(1), 2, 5.0)]);
    assert_eq!(
        read("bandwidth,pods,rep,y\n1,2,0,5\n1,2,1,5.5\n"),
        [time(Some(1), 2, 5.0), time(Some(1), 2, 5.5)]
    );
    assert_eq!(read("y,pods\n5,2\n"), [time(None, 2, 5.0)]);
    assert_eq!(read(&format!("{BURSTS}\n0.6,0.2,4.0,7.9,4,4,8\n")), [time(Some(8), 4, 7.9)]);
}

#[test]
fn comments_carriage_returns_a_byte_order_mark_and_an_unfinished_last_line_are_fine() {
    let plain = read_times("t.csv", "pods,y\n2,5\n3,4\n", BadRows::Refuse).unwrap();
    let odd = "\u{feff}# measured on a Monday\r\npods , y\r\n\r\n2,5\r\n# and on\r\n3, 4";
    let odd = read_times("t.csv", odd, BadRows::Refuse).unwrap();
    assert_eq!(odd.rows, plain.rows);
    assert_ne!(odd.hash, plain.hash);
}

#[test]
fn an_unknown_layout_names_the_file_what_was_found_and_what_was_expected() {
    assert_eq!(
        refusal("pods,seconds\n2,5\n"),
        "t.csv: column missing: y; columns found: pods,seconds; columns expected: \
         inference_time_a,inference_time_b,total_time,end_time,NUM_POD_A,NUM_POD_B,BANDWIDTH, \
         or pods,y[,bandwidth][,rep]"
    );
    let misspelt = refusal("bandwith,pods,y\n1,2,5\n");
    assert!(misspelt.contains("column unknown: bandwith"), "{misspelt}");
    let short =
        refusal("inference_time_a,inference_time_b,total_time,NUM_POD_A,NUM_POD_B,BANDWIDTH\n1,1,1,2,2,1\n");
    assert!(short.starts_with("t.csv: column missing: end_time;"), "{short}");
    let twice = refusal("pods,y,y_seconds\n2,5,5\n");
    assert!(twice.contains("column given twice: y"), "{twice}");
    assert!(refusal("").starts_with("t.csv: the file is empty"));
    assert_eq!(refusal("pods,y\n"), "t.csv: no row with a measurement (0 dropped)");
}

#[test]
fn a_bad_cell_names_file_line_and_field() {
    let hint = "; correct the cell, or skip bad rows";
    let cases = [
        ("pods,y\n2,5\n3,\n", "t.csv:3: y: empty; expected a time in seconds"),
        ("pods,y\n# note\n\n2,NaN\n", "t.csv:4: y: NaN is not a finite time above zero"),
        ("pods,y\r\n2,5\r\n\r\n# note\r\n2,inf\r\n", "t.csv:5: y: inf is not a finite time above zero"),
        ("\u{feff}# note\npods,y\n2,5\n2,nan", "t.csv:4: y: NaN is not a finite time above zero"),
        ("pods,y\n2,-inf\n", "t.csv:2: y: -inf is not a finite time above zero"),
        ("pods,y\n2,-1\n", "t.csv:2: y: -1 is not a finite time above zero"),
        ("pods,y\n2,0\n", "t.csv:2: y: 0 is not a finite time above zero"),
        ("pods,y\n2,fast\n", "t.csv:2: y: \"fast\" is not a time in seconds"),
        ("pods,y\n0,5\n", "t.csv:2: pods: 0 is not a whole number of 1 or more"),
        ("pods,y\n2.5,5\n", "t.csv:2: pods: \"2.5\" is not a whole number of 1 or more"),
        ("pods,y\n2\n", "t.csv:2: y: missing; the row is shorter than the header"),
        ("pods,y\n2,5,6\n", "t.csv:2: column 3: the row is longer than the header"),
        ("bandwidth,pods,rep,y\n1,2,x,5\n", "t.csv:2: rep: \"x\" is not a number of 0 or more"),
    ];
    for (text, message) in cases {
        assert_eq!(refusal(text), format!("{message}{hint}"));
    }
    let uneven = refusal(&format!("{BURSTS}\n0.6,0.2,4.0,7.9,4,3,8\n"));
    assert!(uneven.starts_with("t.csv:2: NUM_POD_B: 3 pods of B beside 4 of A"), "{uneven}");
    let nan = refusal(&format!("{BURSTS}\n0.6,NaN,4.0,7.9,4,4,8\n"));
    assert!(nan.starts_with("t.csv:2: inference_time_b: NaN"), "{nan}");
}

#[test]
fn bad_rows_can_be_skipped_and_are_listed() {
    let table = read_times("t.csv", "pods,y\n2,5\n3,\n4,4\n5,inf\n", BadRows::Skip).unwrap();
    assert_eq!(table.rows, [time(None, 2, 5.0), time(None, 4, 4.0)]);
    let dropped: Vec<String> = table.dropped.iter().map(ToString::to_string).collect();
    assert_eq!(
        dropped,
        ["t.csv:3: y: empty; expected a time in seconds", "t.csv:5: y: inf is not a finite time above zero"]
    );
    let none = read_times("t.csv", "pods,y\n2,\n", BadRows::Skip).unwrap_err();
    assert_eq!(none, CalibrationError::NoRows { file: "t.csv".into(), dropped: 1 });
}

#[test]
fn bursts_keep_all_their_columns() {
    let table = read_bursts("b.csv", &format!("{BURSTS}\n0.6,0.2,4.0,7.9,4,4,8\n"), BadRows::Refuse).unwrap();
    let row = table.rows[0];
    assert_eq!(
        (row.inference_time_a, row.inference_time_b, row.total_time, row.end_time),
        (0.6, 0.2, 4.0, 7.9)
    );
    assert_eq!((row.num_pod_a, row.num_pod_b, row.bandwidth), (4, 4, 8));
    assert!(read_bursts("b.csv", "pods,y\n2,5\n", BadRows::Refuse).is_err());
}

/// Request records as text, in the columns that the document itself writes.
fn records_csv() -> String {
    let mut other = record(2, 3);
    other.http_status = Some(429);
    (other.pod_a, other.bandwidth_mbit_s) = (None, None);
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.serialize(record(8, 4)).unwrap();
    writer.serialize(other).unwrap();
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

#[test]
fn request_records_survive_a_round_trip() {
    let table = read_records("r.csv", &records_csv(), BadRows::Refuse).unwrap();
    assert_eq!(table.rows.len(), 2);
    assert_eq!(table.rows[0], record(8, 4));
    assert_eq!((table.rows[1].pod_a, table.rows[1].bandwidth_mbit_s), (None, None));
    assert_eq!(table.rows[1].http_status, Some(429));
}

#[test]
fn a_bad_request_record_names_file_line_and_field() {
    let refuse = |text: &str| read_records("r.csv", text, BadRows::Refuse).unwrap_err().to_string();
    let text = records_csv();
    let nan = refuse(&text.replace(",0.13,", ",NaN,"));
    assert!(nan.starts_with("r.csv:2: transfer_s: NaN is not a duration"), "{nan}");
    let empty = refuse(&text.replace(",0.13,", ",,"));
    assert!(empty.starts_with("r.csv:2: transfer_s: "), "{empty}");
    let backwards = refuse(&text.replacen(",0,1022000000,", ",9,1,", 1));
    assert!(backwards.starts_with("r.csv:2: done_ns: 1 is before sent_ns 9"), "{backwards}");
    let status = refuse(&text.replacen("answered", "maybe", 1));
    assert!(status.starts_with("r.csv:2: ") && status.contains("unknown variant `maybe`"), "{status}");
    let milliseconds = refuse(&text.replacen(",0.6,", ",600,", 1));
    let words =
        "r.csv:2: done_ns: the phases sum up to 600.422 s, but from sent_ns to done_ns it took 1.022 s";
    assert!(milliseconds.starts_with(words), "{milliseconds}");
    let missing = refuse(&text.replacen("queue_b_s", "queue_c_s", 1));
    assert!(missing.starts_with("r.csv: column missing: queue_b_s;"), "{missing}");

    let skipped = read_records("r.csv", &text.replacen(",0.13,", ",NaN,", 1), BadRows::Skip).unwrap();
    assert_eq!((skipped.rows.len(), skipped.dropped.len()), (1, 1));
}

/// Bursts of two requests in these cells, and makespans.
fn bursts(cells: &[(u32, u32, f64)]) -> Table<RequestRecord> {
    let rows = cells.iter().zip(0..).flat_map(|(&(slots, pods, end_s), run_id)| {
        (0..2).map(move |request_id| RequestRecord {
            run_id,
            request_id,
            done_ns: (end_s * 1e9) as u64,
            back_s: end_s - 1.02,
            ..record(slots, pods)
        })
    });
    Table { file: "records.csv".into(), hash: String::new(), rows: rows.collect(), dropped: vec![] }
}

#[test]
fn records_of_bursts_are_a_table_of_makespans() {
    let mut records = bursts(&[(1, 2, 2.0), (4, 8, 3.0), (4, 8, 9.0)]);
    records.rows[5].status = Status::Lost;
    let times = times_of(&records).unwrap();
    let rows: Vec<_> = times.rows.iter().map(|row| (row.slots, row.pods, row.y_s)).collect();
    assert_eq!(rows, [(Some(1), 2, 2.0), (Some(4), 8, 3.0)]);
    // A load in time is none.
    records.rows[1].scheduled_ns = 7;
    let error = times_of(&records).unwrap_err().to_string();
    assert!(error.starts_with("records.csv: the requests of run 0 were not due at once"), "{error}");
}

#[test]
fn a_table_beside_the_records_of_another_pipeline_is_refused() {
    let records = bursts(&[(1, 2, 2.0), (4, 8, 3.0)]);
    let table = |slots, pods, y_s| Table {
        file: "table.csv".into(),
        hash: String::new(),
        rows: vec![TimeRow { slots: Some(1), pods: 2, y_s: 2.001 }, TimeRow { slots, pods, y_s }],
        dropped: vec![],
    };
    one_measurement(&table(Some(4), 8, 3.0), &records).unwrap();
    let refuse =
        |slots, pods, y_s| one_measurement(&table(slots, pods, y_s), &records).unwrap_err().to_string();
    let cell = refuse(Some(4), 6, 3.0);
    assert!(cell.starts_with("table.csv: 4 slots and 6 pods are not in records.csv"), "{cell}");
    let time = refuse(Some(4), 8, 3.5);
    assert!(time.starts_with("table.csv: 3.5 s at 4 slots and 8 pods, where records.csv has 3 s"), "{time}");
    let unit = refuse(Some(4), 8, 3000.0);
    assert!(unit.contains("(are they milli-, micro- or nanoseconds?)"), "{unit}");
}
