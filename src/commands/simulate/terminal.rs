//! The main columns of an experiment as a table on the terminal.

use splitscale_sim::{Experiment, Plan};

use super::row::Row;

/// The table: how wide the columns of the axes are.
pub struct Terminal<'a> {
    plan: &'a Plan,
    widths: Vec<usize>,
    attainment: bool,
}

impl<'a> Terminal<'a> {
    /// Of an experiment.
    pub fn new(experiment: &Experiment, plan: &'a Plan) -> Self {
        let widest = |axis: usize| plan.points.iter().map(|point| point.labels[axis].1.chars().count()).max();
        let width = |(axis, name): (usize, &String)| widest(axis).unwrap_or(0).max(name.chars().count());
        let widths = plan.axes.iter().enumerate().map(width).collect();
        Terminal { plan, widths, attainment: experiment.slo_s.is_some() }
    }

    /// The names of the columns.
    pub fn header(&self) {
        self.axes(self.plan.axes.iter().map(String::as_str));
        print!(
            "{:>5} {:>12} {:>18} {:>9} {:>9}  {:>7} {:>7} {:>7} {:>9}",
            "runs",
            "makespan [s]",
            "latency [s] +- 95%",
            "p95 [s]",
            "answers/s",
            "busy A",
            "slots",
            "B",
            "no answer"
        );
        println!("{}", if self.attainment { "  in SLO" } else { "" });
    }

    /// One point.
    pub fn row(&self, row: &Row<'_>) {
        let mean = |name: &str| row.mean(name).0;
        let show =
            |value: Option<f64>, digits: usize| value.map_or("-".to_string(), |v| format!("{v:.digits$}"));
        self.axes(row.point.labels.iter().map(|(_, value)| value.as_str()));
        let (latency, half_width) = row.mean("latency_mean_s");
        let unanswered: f64 =
            ["refused", "failed", "lost", "unfinished"].into_iter().filter_map(mean).sum::<f64>().max(0.0);
        print!(
            "{:>5} {:>12} {:>9} +- {:>5} {:>9} {:>9}  {:>7} {:>7} {:>7} {:>9.1}",
            row.samples.len(),
            show(mean("makespan_s"), 3),
            show(latency, 4),
            show(half_width, 3),
            show(mean("latency_p95_s"), 4),
            show(mean("throughput_per_s"), 3),
            show(mean("busy_a"), 2),
            show(mean("busy_slots"), 2),
            show(mean("busy_b"), 2),
            unanswered
        );
        match (self.attainment, mean("attainment")) {
            (true, Some(share)) => println!("  {:>5.1}%", share * 100.0),
            _ => println!(),
        }
    }

    fn axes<'b>(&self, cells: impl Iterator<Item = &'b str>) {
        for (cell, width) in cells.zip(&self.widths) {
            print!("{cell:>width$}  ");
        }
    }
}
