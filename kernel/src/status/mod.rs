//! Job status: how far resources are on their way through stages, and what a store of that promises.

mod id;

mod plan;

mod rule;

mod update;

mod record;

mod contract;

#[doc(hidden)]
pub mod conformance;

pub use contract::CHANGES_KEPT_MAX;
pub use contract::Cursor;
pub use contract::NotTaken;
pub use contract::Page;
pub use contract::Since;
pub use contract::StatusStore;
pub use contract::TTL;
pub use contract::Taken;
pub use id::ID_CHARS_MAX;
pub use id::ID_NUMBER_MAX;
pub use id::ResourceId;
pub use id::ResourceIdError;
pub use plan::Plan;
pub use plan::STAGES_MAX;
pub use plan::STATUSES_MAX;
pub use plan::Standing;
pub use plan::Status;
pub use plan::USUAL_STAGES;
pub use plan::Unknown;
pub use record::Change;
pub use record::OWNER_BYTES_MAX;
pub use record::OtherOwner;
pub use record::Owner;
pub use record::Record;
pub use record::Report;
pub use record::Whole;
pub use rule::Phase;
pub use rule::overall;
pub use rule::phase;
pub use update::COUNT_MAX;
pub use update::Effect;
pub use update::MESSAGE_BYTES_MAX;
pub use update::StageState;
pub use update::Update;
