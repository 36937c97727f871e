//! The task that makes vectors of texts, with a model that all threads share.

use std::sync::Arc;

use kernel::status::OWNER_BYTES_MAX;
use kernel::status::ResourceId;
use serde_json::Value;

use crate::stages::Report;
use crate::stages::Stages;
use crate::stages::Standing;
use crate::task::Call;
use crate::task::Failed;
use crate::task::Task;

/// The most texts of one call.
pub const TEXTS_MAX: usize = 512;

/// So many are embedded before it is asked again whether the call is over.
const TEXTS_AT_ONCE: usize = 16;

/// Makes vectors of texts.
pub trait Embed: Send + Sync {
    /// A vector of each text, in their order.
    ///
    /// # Errors
    /// [`EmbedError`].
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// A text is none that it takes: why, in words that reach whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EmbedError(pub String);

impl From<EmbedError> for Failed {
    fn from(EmbedError(why): EmbedError) -> Self {
        Self::arguments(why)
    }
}

/// The task. It takes a text, and gives its vector, or a list of texts, and gives a list of theirs; by
/// place, or as `texts`. With `resource` by name it reports how far it is with that, and with `owner` whose it is.
pub struct EmbedTask {
    model: Arc<dyn Embed>,
    stages: Arc<dyn Stages>,
}

/// What is to be embedded.
enum Asked<'c> {
    One(&'c str),
    Many(Vec<&'c str>),
}

impl EmbedTask {
    /// With this model, which reports to `stages`.
    pub fn new(model: Arc<dyn Embed>, stages: Arc<dyn Stages>) -> Self {
        Self { model, stages }
    }

    fn vectors(&self, call: &Call, told: &Told<'_>) -> Result<Value, Failed> {
        match asked(call)? {
            Asked::One(text) => {
                told.say(Standing::Processing { done: 0, of: 1 });
                let vectors = self.model.embed(&[text])?;
                Ok(vectors.into_iter().next().map(written).unwrap_or_default())
            }
            Asked::Many(texts) => {
                let of = texts.len() as u64;
                let mut vectors = Vec::with_capacity(texts.len());
                for some in texts.chunks(TEXTS_AT_ONCE) {
                    call.check()?;
                    told.say(Standing::Processing { done: vectors.len() as u64, of });
                    vectors.extend(self.model.embed(some)?.into_iter().map(written));
                }
                call.check()?;
                Ok(Value::Array(vectors))
            }
        }
    }
}

impl Task for EmbedTask {
    fn run(&self, call: &Call) -> Result<Value, Failed> {
        let subject = Subject::of(call)?;
        self.vectors(call, &Told { stages: &*self.stages, call, subject })
    }

    fn was_done(&self, call: &Call) {
        let of = match asked(call) {
            Ok(Asked::Many(texts)) => texts.len() as u64,
            Ok(Asked::One(_)) | Err(_) => 1,
        };
        self.say_end(call, Standing::Completed { of });
    }

    fn came_to_nothing(&self, call: &Call) {
        self.say_end(call, Standing::Failed);
    }
}

impl EmbedTask {
    fn say_end(&self, call: &Call, end: Standing) {
        if let Ok(Some(subject)) = Subject::of(call) {
            self.stages.report(subject.report(call, end));
        }
    }
}

/// What a call is about.
struct Subject {
    resource: ResourceId,
    owner: Option<Arc<str>>,
}

impl Subject {
    /// That of `call`, if it names any.
    fn of(call: &Call) -> Result<Option<Self>, Failed> {
        let owner = match call.kwargs().get("owner") {
            None | Some(Value::Null) => None,
            Some(Value::String(owner)) if is_owner(owner) => Some(Arc::from(owner.as_str())),
            Some(_) => {
                let message = format!(
                    "`owner`: expected a text of 1 to {OWNER_BYTES_MAX} bytes without control \
                     characters"
                );
                return Err(Failed::arguments(message));
            }
        };
        let resource = match call.kwargs().get("resource") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => ResourceId::parse(text),
            Some(Value::Number(number)) if number.is_u64() => {
                ResourceId::parse(&number.to_string())
            }
            Some(_) => {
                return Err(Failed::arguments("`resource`: expected a text or a whole number"));
            }
        };
        let resource = resource.map_err(|why| Failed::arguments(format!("`resource`: {why}")))?;
        Ok(Some(Self { resource, owner }))
    }

    fn report(&self, call: &Call, standing: Standing) -> Report {
        Report {
            resource: self.resource.clone(),
            owner: self.owner.clone(),
            attempt: call.retries().saturating_add(1),
            standing,
        }
    }
}

fn is_owner(text: &str) -> bool {
    (1..=OWNER_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whom to tell of what, if anybody.
struct Told<'c> {
    stages: &'c dyn Stages,
    call: &'c Call,
    subject: Option<Subject>,
}

impl Told<'_> {
    fn say(&self, standing: Standing) {
        // Once it is over somebody else may have the last word, or carry it out anew.
        if let Some(subject) = &self.subject
            && self.call.check().is_ok()
        {
            self.stages.report(subject.report(self.call, standing));
        }
    }
}

fn asked(call: &Call) -> Result<Asked<'_>, Failed> {
    let texts = match (call.args(), call.kwargs().get("texts")) {
        ([texts], None) | ([], Some(texts)) => texts,
        _ => return Err(Failed::arguments("expected a text or a list of texts, and that once")),
    };
    match texts {
        Value::String(text) => Ok(Asked::One(text)),
        Value::Array(list) if list.len() > TEXTS_MAX => {
            let message = format!("{} texts; at most {TEXTS_MAX} at one time", list.len());
            Err(Failed::arguments(message))
        }
        Value::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            texts.map(Asked::Many).ok_or_else(|| Failed::arguments("not all of them are texts"))
        }
        _ => Err(Failed::arguments("expected a text or a list of texts")),
    }
}

/// A vector as JSON, each number with as many digits as tell it from its neighbours.
fn written(vector: Vec<f32>) -> Value {
    let shortest = |number: f32| number.to_string().parse::<f64>().unwrap_or(f64::from(number));
    vector.into_iter().map(shortest).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::celery::Task as Message;
    use parking_lot::Mutex;
    use serde_json::Map;
    use serde_json::json;

    use super::*;
    use crate::stages::Untold;

    /// The length of a text, and 0.1.
    struct Lengths;

    impl Embed for Lengths {
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
            let vector = |text: &&str| match *text {
                "bad" => Err(EmbedError("`bad` is no text".to_owned())),
                text => Ok(vec![text.len() as f32, 0.1]),
            };
            texts.iter().map(vector).collect()
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<Report>>);

    impl Stages for Heard {
        fn report(&self, report: Report) {
            self.0.lock().push(report);
        }
    }

    /// What it gives, and what it has told.
    fn told(call: &Call) -> (Result<Value, Failed>, Vec<Report>) {
        let heard = Arc::new(Heard::default());
        let stages: Arc<dyn Stages> = Arc::clone(&heard) as Arc<dyn Stages>;
        let task = EmbedTask::new(Arc::new(Lengths), stages);
        let answer = task.run(call);
        // As whoever notes what came of it.
        match &answer {
            Ok(_) if call.check().is_ok() => task.was_done(call),
            Ok(_) => {}
            Err(_) => {
                call.course.end();
                task.came_to_nothing(call);
            }
        }
        let reports = heard.0.lock().clone();
        (answer, reports)
    }

    fn run(call: &Call) -> (Result<Value, Failed>, Vec<Standing>) {
        let (answer, reports) = told(call);
        (answer, reports.iter().map(|report| report.standing).collect())
    }

    fn call(texts: Value) -> Call {
        Call::new("c", vec![texts], Map::new())
    }

    #[test]
    fn a_text_has_a_vector_and_a_list_of_texts_a_list_of_them() {
        assert_eq!(run(&call(json!("abc"))).0, Ok(json!([3.0, 0.1])));
        assert_eq!(run(&call(json!(["a", ""]))).0, Ok(json!([[1.0, 0.1], [0.0, 0.1]])));
        assert_eq!(run(&call(json!([]))).0, Ok(json!([])));
        let mut by_name = Map::new();
        by_name.insert("texts".to_owned(), json!("ab"));
        assert_eq!(run(&Call::new("c", Vec::new(), by_name)).0, Ok(json!([2.0, 0.1])));
    }

    #[test]
    fn what_is_no_text_is_refused_in_words() {
        for (args, message) in [
            (vec![], "expected a text or a list of texts, and that once"),
            (vec![json!("a"), json!("b")], "expected a text or a list of texts, and that once"),
            (vec![json!(1)], "expected a text or a list of texts"),
            (vec![json!(["a", 1])], "not all of them are texts"),
            (vec![json!("bad")], "`bad` is no text"),
        ] {
            let call = Call::new("c", args, Map::new());
            assert_eq!(run(&call).0, Err(Failed::arguments(message)));
        }
    }

    #[test]
    fn of_512_texts_there_are_vectors_and_one_more_is_refused() {
        let texts = |count: usize| json!(vec!["a"; count]);
        let Ok(Value::Array(vectors)) = run(&call(texts(TEXTS_MAX))).0 else {
            panic!("so many are taken")
        };
        assert_eq!(vectors.len(), TEXTS_MAX);
        let message = "513 texts; at most 512 at one time";
        assert_eq!(run(&call(texts(TEXTS_MAX + 1))).0, Err(Failed::arguments(message)));
    }

    #[test]
    fn it_stops_between_two_texts_once_its_time_is_over() {
        let late = call(json!(["a"])).within(Duration::ZERO);
        assert_eq!(run(&late).0, Err(Failed::Overdue));
    }

    /// Notes how many texts it is brought, and with the first of them takes until the time of its call, which
    /// begins there, is over.
    struct Outlasting {
        call: Call,
        brought: Mutex<Vec<usize>>,
    }

    impl Embed for Outlasting {
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
            self.brought.lock().push(texts.len());
            self.call.course.begin();
            while !self.call.course.is_overdue() {
                std::thread::yield_now();
            }
            Lengths.embed(texts)
        }
    }

    #[test]
    fn of_three_chunks_two_are_not_embedded_where_time_is_over_within_the_first() {
        let texts = json!(vec!["a"; 3 * TEXTS_AT_ONCE]);
        let message = Message::new("", "c", vec![texts], "", "");
        let call = Call::of(message, Duration::from_millis(2));
        let model = Arc::new(Outlasting { call: call.clone(), brought: Mutex::default() });
        let task = EmbedTask::new(Arc::clone(&model) as Arc<dyn Embed>, Arc::new(Untold));
        assert_eq!(task.run(&call), Err(Failed::Overdue));
        assert_eq!(*model.brought.lock(), [TEXTS_AT_ONCE]);
    }

    #[test]
    fn it_says_how_far_it_is_with_a_resource_that_is_named() {
        let with = |texts: Value| run(&about(json!(7), json!(null), texts)).1;
        let many = with(json!(vec!["a"; TEXTS_AT_ONCE + 1]));
        let of = TEXTS_AT_ONCE as u64 + 1;
        let (begun, further) = (
            Standing::Processing { done: 0, of },
            Standing::Processing { done: TEXTS_AT_ONCE as u64, of },
        );
        assert_eq!(many, [begun, further, Standing::Completed { of }]);
        assert_eq!(with(json!("bad")).last(), Some(&Standing::Failed));
        assert_eq!(run(&call(json!("a"))).1, []);
        let late = about(json!(7), json!(null), json!("a")).within(Duration::ZERO);
        assert_eq!(run(&late).1, [], "what comes of it is for others to say");
    }

    /// A call for these texts about a resource of somebody's.
    fn about(resource: Value, owner: Value, texts: Value) -> Call {
        let named = [("resource", resource), ("owner", owner)];
        let named = named.into_iter().map(|(name, value)| (name.to_owned(), value));
        Call::new("c", vec![texts], named.collect())
    }

    #[test]
    fn a_resource_or_an_owner_that_is_none_is_refused_in_words_before_anything_is_done() {
        let (longest, longer) = ("o".repeat(OWNER_BYTES_MAX), "o".repeat(OWNER_BYTES_MAX + 1));
        for (resource, owner) in [(json!(7), json!(longest)), (json!("seven"), json!("ann"))] {
            let (answer, reports) = told(&about(resource, owner.clone(), json!("a")));
            assert!(answer.is_ok());
            assert_eq!(reports[0].owner.as_deref(), owner.as_str());
        }
        let bad_owner = "`owner`: expected a text of 1 to 255 bytes without control characters";
        let bad_resource = "`resource`: expected a text or a whole number";
        for (resource, owner, why) in [
            (json!(7), json!(longer), bad_owner),
            (json!(7), json!("a\nb"), bad_owner),
            (json!(7), json!(""), bad_owner),
            (json!(7), json!(1), bad_owner),
            (json!(7.5), json!("ann"), bad_resource),
            (json!(-7), json!("ann"), bad_resource),
            (json!([7]), json!("ann"), bad_resource),
            (json!("007"), json!("ann"), "`resource`: a number is written without leading zeros"),
        ] {
            let (answer, reports) = told(&about(resource, owner, json!("a")));
            assert_eq!((answer, reports), (Err(Failed::arguments(why)), vec![]));
        }
    }
}
