//! The task that does nothing: to see whether somebody is there, and how fast.

use serde_json::Value;

use crate::task::Call;
use crate::task::Failed;
use crate::task::Task;

/// Takes whatever it is given, and gives null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

impl Task for Noop {
    fn run(&self, _: &Call) -> Result<Value, Failed> {
        Ok(Value::Null)
    }
}
