//! The multilayer perceptron: by hand, and what it refuses.

use splitscale_policy::{Mlp, Room};

/// Two inputs, two hidden, one output.
fn small() -> Mlp {
    let parameters = vec![1.0, -1.0, 2.0, 0.5, 0.25, -3.0, 4.0, 8.0, 0.5];
    Mlp::new(vec![2, 2, 1], parameters).unwrap()
}

#[test]
fn a_small_network_gives_what_a_hand_calculates() {
    let (mlp, mut room) = (small(), Room::default());
    // Hidden: max(0, 3 + 2 * 2 + 0.25) = 7.25 and max(0, -3 + 2 * 0.5 - 3) = 0; then 4 * 7.25 + 0.5.
    assert_eq!(mlp.forward(&[3.0, 2.0], &mut room), [29.5]);
    // Hidden: max(0, -8 + 0.25) = 0 and max(0, 8 - 3) = 5; then 8 * 5 + 0.5.
    assert_eq!(mlp.forward(&[-8.0, 0.0], &mut room), [40.5]);
}

#[test]
fn every_width_gives_what_plain_loops_give() {
    for sizes in [vec![3, 1], vec![5, 16, 2], vec![4, 37, 33, 7], vec![1, 64, 64, 17]] {
        let wave = |at: usize| ((at * 7 + 3) % 29) as f32 / 29.0 - 0.5;
        let parameters: Vec<f32> = (0..Mlp::parameters_of(&sizes)).map(wave).collect();
        let inputs: Vec<f32> = (0..sizes[0]).map(|at| wave(at + 11)).collect();
        let (mut values, mut at) = (inputs.clone(), 0);
        for (layer, size) in sizes.windows(2).enumerate() {
            let biases = at + size[0] * size[1];
            let output = |to: usize| {
                let product = |sum, from: usize| sum + values[from] * parameters[at + from * size[1] + to];
                let sum = (0..size[0]).fold(parameters[biases + to], product);
                if layer + 2 < sizes.len() { sum.max(0.0) } else { sum }
            };
            values = (0..size[1]).map(output).collect();
            at = biases + size[1];
        }
        let mlp = Mlp::new(sizes.clone(), parameters.clone()).unwrap();
        assert_eq!(mlp.forward(&inputs, &mut Room::default()), values, "{sizes:?}");
    }
}

#[test]
fn what_is_no_network_is_refused_read_or_made() {
    let problem = |sizes: &[usize], parameters: usize| {
        Mlp::new(sizes.to_vec(), vec![0.0; parameters]).unwrap_err().to_string()
    };
    assert_eq!(problem(&[2], 0), "sizes: 1 of them; it takes 2 to 16, inputs and outputs");
    assert_eq!(problem(&[2, 0, 1], 1), "sizes[1]: 0 is not in 1..=4096");
    assert_eq!(problem(&[2, 2, 1], 8), "parameters: 8 of them, and sizes [2, 2, 1] take 9");
    let said = Mlp::new(vec![1, 1], vec![0.0, f32::NAN]).unwrap_err().to_string();
    assert_eq!(said, "parameters[1]: NaN is not a finite number");

    let text = serde_json::to_string(&small()).unwrap();
    assert_eq!(serde_json::from_str::<Mlp>(&text).unwrap(), small());
    for (from, to, words) in [
        ("[2,2,1]", "[2,3,1]", "parameters: 9 of them"),
        ("0.25", "null", "invalid type: null"),
        ("\"sizes\"", "\"size\"", "unknown field `size`"),
    ] {
        let said = serde_json::from_str::<Mlp>(&text.replace(from, to)).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
}
