//! What the programs of the measurements share; README.md says what is measured and how.
//!
//! The programs: `bare` is the proxy to compare with, `origin` what is behind it, `load` the
//! client, `tokens` signs what the client shows. `edge/run` puts them together.

pub mod http1;

pub mod cpu;
