//! The columns of the tables that can be read.

use csv::StringRecord;

use crate::CalibrationError;

/// The columns of a layout.
pub(crate) struct Layout {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

/// The original's table.
pub(crate) const BURSTS: Layout = Layout {
    required: &[
        "inference_time_a",
        "inference_time_b",
        "total_time",
        "end_time",
        "NUM_POD_A",
        "NUM_POD_B",
        "BANDWIDTH",
    ],
    optional: &[],
};

/// One time a row.
pub(crate) const TIMES: Layout = Layout { required: &["pods", "y"], optional: &["bandwidth", "rep"] };

/// One pod that came or went.
pub(crate) const STARTS: Layout = Layout { required: &["stage", "event", "pods", "seconds"], optional: &[] };

/// The fields of a request record; a test reads what the document itself writes.
pub(crate) const RECORDS: Layout = Layout {
    required: &[
        "run_id",
        "request_id",
        "scheduled_ns",
        "sent_ns",
        "done_ns",
        "status",
        "cut",
        "encoding",
        "bytes",
        "slots",
        "bandwidth_mbit_s",
        "pods_a",
        "pods_b",
        "pod_a",
        "pod_b",
        "queue_a_s",
        "decode_s",
        "forward_a_s",
        "encode_s",
        "rest_a_s",
        "queue_proxy_s",
        "transfer_s",
        "queue_b_s",
        "decode_b_s",
        "forward_b_s",
        "rest_b_s",
        "back_s",
    ],
    // Younger than the others: a file without them was measured on engines that compute.
    optional: &["http_status", "emulated"],
};

impl Layout {
    /// How many columns of `header` it knows.
    pub(crate) fn shared(&self, header: &StringRecord) -> usize {
        header.iter().filter(|name| self.knows(name)).count()
    }

    /// Wants every required column once, and no unknown one; `expected` is for the message.
    pub(crate) fn check(
        &self,
        file: &str,
        header: &StringRecord,
        expected: &str,
    ) -> Result<(), CalibrationError> {
        let times = |name: &str| header.iter().filter(|&column| column == name).count();
        let missing: Vec<&str> = self.required.iter().copied().filter(|name| times(name) == 0).collect();
        let unknown: Vec<&str> = header.iter().filter(|name| !self.knows(name)).collect();
        let problem = if header.is_empty() {
            "the file is empty".to_string()
        } else if !missing.is_empty() {
            format!("column missing: {}", missing.join(", "))
        } else if !unknown.is_empty() {
            format!("column unknown: {}", unknown.join(", "))
        } else if let Some(twice) = header.iter().find(|name| times(name) > 1) {
            format!("column given twice: {twice}")
        } else {
            return Ok(());
        };
        let found = header.iter().collect::<Vec<_>>().join(",");
        Err(CalibrationError::Layout { file: file.into(), problem, found, expected: expected.into() })
    }

    fn knows(&self, name: &str) -> bool {
        self.required.contains(&name) || self.optional.contains(&name)
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.required.join(","))?;
        self.optional.iter().try_for_each(|name| write!(f, "[,{name}]"))
    }
}
