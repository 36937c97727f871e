//! Vectors of length one.

/// Gives `vector` the length one; `false`, and no change, where it has none.
pub(crate) fn to_unit(vector: &mut [f32]) -> bool {
    // Squares of small numbers would vanish in f32.
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if squares == 0.0 {
        return false;
    }
    let length = squares.sqrt();
    for x in vector {
        *x = (f64::from(*x) / length) as f32;
    }
    true
}
