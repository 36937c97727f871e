//! Whole-product tests against the real binary.
