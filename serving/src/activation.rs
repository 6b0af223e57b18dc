//! What travels between the halves, as the engines know it: float32 values with their shape.

use axum::body::Bytes;

/// Bytes of one value.
pub const VALUE_BYTES: usize = 4;

/// The activation of one image: float32, little endian, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    shape: Vec<usize>,
    data: Bytes,
}

impl Activation {
    /// An activation of this shape, without the dimension of the batch.
    ///
    /// # Panics
    /// When `data` has not four bytes for each element.
    pub fn new(shape: Vec<usize>, data: Bytes) -> Activation {
        assert_eq!(data.len(), VALUE_BYTES * elements(&shape), "{shape:?}");
        Activation { shape, data }
    }

    /// All its values zero: what a pod warms up with.
    pub fn zeros(shape: &[usize]) -> Activation {
        Activation { shape: shape.to_vec(), data: vec![0; VALUE_BYTES * elements(shape)].into() }
    }

    /// Its dimensions, the batch left out.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values as they lie in memory.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Whether all its values are finite.
    pub fn is_finite(&self) -> bool {
        // Zero times a value is zero, or no number where the value is infinite or none.
        self.fold(0.0, |sum, value| sum + value * 0.0) == 0.0
    }

    /// All its values in one, by an operation whose order does not matter: in sixteen lanes, so that the
    /// compiler makes vectors of it.
    pub(crate) fn fold(&self, start: f32, with: impl Fn(f32, f32) -> f32) -> f32 {
        const LANES: usize = 16;
        let (chunks, rest) = self.data.as_chunks::<{ LANES * VALUE_BYTES }>();
        let (rest, _) = rest.as_chunks::<VALUE_BYTES>();
        let mut lanes = [start; LANES];
        for chunk in chunks {
            let (values, _) = chunk.as_chunks::<VALUE_BYTES>();
            for (lane, bytes) in lanes.iter_mut().zip(values) {
                *lane = with(*lane, f32::from_le_bytes(*bytes));
            }
        }
        let rest = rest.iter().map(|bytes| f32::from_le_bytes(*bytes));
        lanes.into_iter().chain(rest).fold(start, with)
    }

    /// Its values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + Clone {
        let (values, _) = self.data.as_chunks::<VALUE_BYTES>();
        values.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}

/// How many values a shape has.
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}
