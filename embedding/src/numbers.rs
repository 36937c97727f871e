//! Numbers as they lie in a file of tensors: little-endian, in several widths.

use safetensors::Dtype;

/// The numbers of `bytes` as `f32`; `None` for a kind that is not read here. A piece that is left over
/// at the end is no number.
pub(crate) fn floats(kind: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    match kind {
        Dtype::F32 => Some(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F64 => {
            Some(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect())
        }
        Dtype::F16 => {
            Some(bytes.as_chunks().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect())
        }
        Dtype::BF16 => {
            let wide = |b: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
            Some(bytes.as_chunks().0.iter().map(wide).collect())
        }
        _ => None,
    }
}

/// The whole numbers of `bytes`; `None` for a kind that is not read here.
pub(crate) fn integers(kind: Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    match kind {
        Dtype::I64 => Some(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
        Dtype::I32 => {
            Some(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
        }
        _ => None,
    }
}

/// A binary16 number (IEEE 754-2008 §3.6), exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    let size = match exponent {
        0 => fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    };
    sign * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_exactly() {
        // The standard's own examples, from the smallest to the largest.
        for (bits, number) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0x3c01, 1.000_976_6),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), number, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn each_kind_gives_the_same_numbers() {
        let wanted = Some(vec![1.0, -2.0]);
        let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(floats(Dtype::F16, &bytes(&[0x3c00, 0xc000])), wanted);
        assert_eq!(floats(Dtype::BF16, &bytes(&[0x3f80, 0xc000])), wanted);
        let f32s: Vec<u8> = [1_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(floats(Dtype::F32, &f32s), wanted);
        let f64s: Vec<u8> = [1_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(floats(Dtype::F64, &f64s), wanted);
        assert_eq!(floats(Dtype::I8, &[1, 2]), None);
        let i32s: Vec<u8> = [1_i32, -2].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(integers(Dtype::I32, &i32s), Some(vec![1, -2]));
        assert_eq!(integers(Dtype::F32, &f32s), None);
    }
}
