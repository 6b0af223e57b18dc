//! Between a network's outputs and action values: dueling heads, targets, the loss's gradient.

use super::replay::Batch;

/// Added to the value of an action that is not allowed: below every other.
const NEVER: f32 = -1e30;

/// The outputs of a row: one an action, and before them, where they are dueling, one for the state. Then
/// `Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) dueling: bool,
    pub(super) actions: usize,
}

impl Heads {
    /// Outputs of a row.
    pub(super) fn outputs(self) -> usize {
        self.actions + usize::from(self.dueling)
    }

    /// The action values of rows of outputs. They are linear in them, so this folds a last layer as well.
    pub(super) fn values(self, outputs: &[f32]) -> Vec<f32> {
        if !self.dueling {
            return outputs.to_vec();
        }
        let mut values = Vec::with_capacity(outputs.len());
        for row in outputs.chunks_exact(self.outputs()) {
            let mean = row[1..].iter().sum::<f32>() / self.actions as f32;
            values.extend(row[1..].iter().map(|advantage| row[0] + (advantage - mean)));
        }
        values
    }

    /// By row, how far the value of the action that was taken is above its target.
    pub(super) fn errors(self, batch: &Batch, online: &[f32], target: &[f32], double: bool) -> Vec<f32> {
        let (actions, size) = (self.actions, batch.actions.len());
        let after = &online[size * actions..];
        let error = |row: usize| {
            let of = |values: &[f32], action: usize| values[row * actions + action];
            let mut future = 0.0;
            if batch.weights[row] != 0.0 {
                let allowed = batch.allowed.get(row * actions..(row + 1) * actions);
                let judge = if double { after } else { target };
                let masked = |action: usize| match allowed.is_none_or(|allowed| allowed[action]) {
                    true => of(judge, action),
                    false => of(judge, action) + NEVER,
                };
                let best = (1..actions).fold(0, |best, action| match masked(action) > masked(best) {
                    true => action,
                    false => best,
                });
                future = batch.weights[row] * of(target, best);
            }
            of(online, batch.actions[row] as usize) - (batch.returns[row] + future)
        };
        (0..size).map(error).collect()
    }

    /// The gradient of the mean Huber loss by the outputs.
    pub(super) fn gradient(self, batch: &Batch, errors: &[f32]) -> Vec<f32> {
        let mut gradient = vec![0.0; errors.len() * self.outputs()];
        let rows = gradient.chunks_exact_mut(self.outputs()).zip(errors).zip(&batch.actions);
        for ((row, error), &action) in rows {
            let by_value = error.clamp(-1.0, 1.0) / errors.len() as f32;
            if self.dueling {
                row.fill(-by_value / self.actions as f32);
                row[0] = by_value;
            }
            row[usize::from(self.dueling) + action as usize] += by_value;
        }
        gradient
    }

    /// The parameters of a network that gives action values itself: the last layer's matrix and biases, folded.
    pub(super) fn fold(self, sizes: &[usize], mut parameters: Vec<f32>) -> (Vec<usize>, Vec<f32>) {
        let (mut sizes, last) = (sizes.to_vec(), sizes.len() - 1);
        let from = parameters.len() - (sizes[last - 1] + 1) * sizes[last];
        let folded = self.values(&parameters[from..]);
        parameters.truncate(from);
        parameters.extend(folded);
        sizes[last] = self.actions;
        (sizes, parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Heads = Heads { dueling: false, actions: 2 };

    /// One row: action 1 was taken, brought a return of 3, and the state after counts `weight`.
    fn one(weight: f32, allowed: &[bool]) -> Batch {
        Batch {
            rows: Vec::new(),
            actions: vec![1],
            returns: vec![3.0],
            weights: vec![weight],
            allowed: allowed.to_vec(),
        }
    }

    #[test]
    fn targets_are_what_a_hand_calculates() {
        // Values of the state and of the one after by the network, and of the one after by the target network.
        let (online, target) = ([7.0, 10.0, 5.0, 4.0], [20.0, 40.0]);
        let error = |batch: &Batch, double| PLAIN.errors(batch, &online, &target, double)[0];
        // Terminated: the future is left out, whatever it would be.
        assert_eq!(error(&one(0.0, &[]), true), 10.0 - 3.0);
        // It goes on, or was truncated after two steps at a discount of 1 / 2. Double: the network chooses action 0.
        assert_eq!(error(&one(0.25, &[]), true), 10.0 - (3.0 + 0.25 * 20.0));
        assert_eq!(error(&one(0.25, &[]), false), 10.0 - (3.0 + 0.25 * 40.0));
        // Of the actions in the state after only one is allowed.
        assert_eq!(error(&one(0.25, &[false, true]), true), 10.0 - (3.0 + 0.25 * 40.0));
        assert_eq!(error(&one(0.25, &[true, false]), false), 10.0 - (3.0 + 0.25 * 20.0));
    }

    #[test]
    fn dueling_heads_are_read_and_folded_alike() {
        let heads = Heads { dueling: true, actions: 2 };
        assert_eq!(heads.values(&[10.0, 1.0, 3.0]), [9.0, 11.0]);
        // One input of 2: outputs (2 * 1 + 8, 2 * 2 - 3, 2 * 1 + 1) = (10, 1, 3).
        let (sizes, folded) = heads.fold(&[1, 3], vec![1.0, 2.0, 1.0, 8.0, -3.0, 1.0]);
        assert_eq!(sizes, [1, 2]);
        assert_eq!([2.0 * folded[0] + folded[2], 2.0 * folded[1] + folded[3]], [9.0, 11.0]);
    }

    #[test]
    fn the_gradient_is_that_of_the_mean_huber_loss() {
        let batch = Batch {
            rows: Vec::new(),
            actions: vec![0, 2],
            returns: vec![1.0, -2.0],
            weights: vec![0.0, 0.0],
            allowed: Vec::new(),
        };
        for dueling in [false, true] {
            let heads = Heads { dueling, actions: 3 };
            let outputs: Vec<f32> = (0..2 * heads.outputs()).map(|at| 0.3 * at as f32 - 0.4).collect();
            let errors = |outputs: &[f32]| heads.errors(&batch, &heads.values(outputs), &[], true);
            let loss = |outputs: &[f32]| {
                let huber = |d: f32| if d.abs() <= 1.0 { d * d / 2.0 } else { d.abs() - 0.5 };
                errors(outputs).into_iter().map(huber).sum::<f32>() / 2.0
            };
            let gradient = heads.gradient(&batch, &errors(&outputs));
            for at in 0..outputs.len() {
                let moved = |by: f32| {
                    let mut outputs = outputs.clone();
                    outputs[at] += by;
                    loss(&outputs)
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((slope - gradient[at]).abs() < 1e-3, "{dueling} {at}: {slope} {}", gradient[at]);
            }
        }
    }
}
