//! Ten million takes over two windows, on keys that are known: something to hold a profiler to.
//!
//! It prints nothing and measures nothing; run it under `perf stat` or callgrind.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use kernel::limit::Quota;
use kernel::limit::QuotaError;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::time::Timestamp;
use stores::memory::MemoryQuotas;

const KEYS: usize = 1_000;

const CALLS: usize = 10_000_000;

fn main() -> Result<(), QuotaError> {
    let quotas = [
        Quota::new("minute", 1_000_000, Duration::from_secs(60))?,
        Quota::new("hour", 10_000_000, Duration::from_secs(3600))?,
    ];
    let store = MemoryQuotas::default();
    let ids: Vec<_> =
        (0..KEYS).map(|i| format!("01890a5d-ac96-774b-bcce-b302099a{i:04}")).collect();
    let start = Timestamp::from_secs(1_700_000_000);
    for (call, id) in ids.iter().cycle().take(CALLS).enumerate() {
        let subject = Subject { policy: "api", kind: SubjectKind::User, id };
        let now = start.plus(Duration::from_millis(call as u64 / 100));
        black_box(store.acquire_now(black_box(subject), &quotas, NonZeroU32::MIN, now));
    }
    Ok(())
}
