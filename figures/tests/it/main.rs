//! The figures as their callers see them: tables in, files out.

mod pictures;
mod tables;

use std::path::Path;

/// Two levels of slots, two pods, two repeats; the second level has a curve.
const MEASURED: &str = "\
inference_time_a,inference_time_b,total_time,end_time,NUM_POD_A,NUM_POD_B,BANDWIDTH
0.66,0.23,1.2,7.9,2,2,1
0.66,0.23,1.2,7.8,2,2,1
0.66,0.23,1.2,8.0,4,4,1
0.66,0.23,1.2,7.9,4,4,1
0.66,0.23,1.1,7.0,2,2,8
0.66,0.23,1.1,6.9,2,2,8
0.66,0.23,1.1,3.7,4,4,8
0.66,0.23,1.1,3.6,4,4,8
";

const FIT: &str = "\
slots,pods,fitted_s,low_s,high_s,status,a,b,c
1,2,7.9,7.8,8.0,FLAT,,,
1,4,7.9,7.8,8.0,FLAT,,,
8,2,7.0,,,EXP,5.0,0.5,2.0
8,4,3.84,,,EXP,5.0,0.5,2.0
";

/// The worst cell of all is a corner; the worst held-out cell misses by 10 %.
const CELLS: &str = "\
slots,pods,measured_s,measured_min_s,measured_max_s,simulated_s,error,held_out
1,2,8,7.5,8.5,10,0.25,false
1,4,5,5,5,4.5,-0.1,true
8,4,4,4,4,4.2,0.05,true
8,2,7,7,7,,,true
";

const LEARNING: &str = "\
episode,mean_return,regret
100,-9,2.5
200,-5,0.02
300,-4,0
400,-4,0
";

/// The second latency of four is not known.
const TIMELINE: &str = "\
time_s,slots,desired_a,desired_b,ready_a,ready_b,throughput_per_s,latency_p50_s,latency_p95_s
0,8,6,6,6,6,6.1,1.9,2.4
1,8,6,6,6,6,6.2,,2.5
2,1,6,6,6,6,2.5,4.1,6.0
3,1,2,2,6,6,2.4,4.6,6.4
";

fn write(folder: &Path, tables: &[(&str, &str)]) {
    for (name, text) in tables {
        std::fs::write(folder.join(name), text).expect("a temporary folder takes files");
    }
}

fn write_all(folder: &Path) {
    let tables = [
        ("table.csv", MEASURED),
        ("fit.csv", FIT),
        ("cells.csv", CELLS),
        ("learning.csv", LEARNING),
        ("timeline.csv", TIMELINE),
    ];
    write(folder, &tables);
}
