//! Choices among a few words.

use kernel::keys::Algorithm;
use kernel::status::Standing;
use serde_json::Value;
use serde_json::json;

use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;
use crate::suggest;
use crate::types::Authorization;
use crate::types::Environment;
use crate::types::LimitBy;
use crate::types::Mode;
use crate::types::OnStaleRevocations;
use crate::types::OnStoreLoss;

/// Reads an enum whose variants are written as words.
macro_rules! words {
    ($kind:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl Read for $kind {
            fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),+];
                let text = node.text(&format!("one of {}", suggest::list(WORDS)), report)?;
                match text {
                    $($word => Some($value),)+
                    _ => {
                        let message = format!(
                            "`{}` is not one of {}", shown(text), suggest::list(WORDS)
                        );
                        report.fault_meaning(&node.at, message, suggest::nearest(text, WORDS));
                        None
                    }
                }
            }

            fn schema() -> Value {
                json!({ "enum": [$($word),+] })
            }
        }
    };
}

words!(Environment {
    "dev" => Environment::Dev,
    "staging" => Environment::Staging,
    "prod" => Environment::Prod,
});

words!(Standing {
    "pending" => Standing::Pending,
    "processing" => Standing::Processing,
    "completed" => Standing::Completed,
    "failed" => Standing::Failed,
});

words!(Mode {
    "auto" => Mode::Auto,
    "exact" => Mode::Exact,
    "leased" => Mode::Leased,
});

words!(OnStoreLoss {
    "local" => OnStoreLoss::Local,
    "open" => OnStoreLoss::Open,
    "closed" => OnStoreLoss::Closed,
});

words!(LimitBy {
    "caller" => LimitBy::Caller,
    "address" => LimitBy::Address,
    "route" => LimitBy::Route,
});

words!(OnStaleRevocations {
    "allow" => OnStaleRevocations::Allow,
    "deny" => OnStaleRevocations::Deny,
});

words!(Authorization {
    "strip" => Authorization::Strip,
    "original" => Authorization::Original,
});

words!(Algorithm {
    "HS256" => Algorithm::HS256,
    "RS256" => Algorithm::RS256,
    "PS256" => Algorithm::PS256,
    "ES256" => Algorithm::ES256,
    "EdDSA" => Algorithm::EdDSA,
});
