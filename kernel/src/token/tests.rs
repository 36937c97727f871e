//! Tests of reading and verifying tokens.

mod claims;
mod foreign;
mod forged;
mod headers;
mod keyed;
mod minted;
mod refresh;
mod shape;
mod support;
mod times;
